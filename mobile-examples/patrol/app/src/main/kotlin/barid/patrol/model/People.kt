package barid.patrol.model

/** Who is counted. There is no place for who they are, and none may be added. */
enum class Group { Women, Men, Girls, Boys, Unknown }

/**
 * Counts of people. The total is never less than the sum of its groups: to raise a group raises the total
 * with it, and the total cannot be lowered below what the groups hold.
 */
data class People(val total: Int = 0, val groups: Map<Group, Int> = emptyMap()) {
    val isEmpty: Boolean get() = total == 0

    fun of(group: Group): Int = groups[group] ?: 0

    fun withTotal(count: Int): People = copy(total = count.coerceIn(groups.values.sum(), MAX))

    fun with(group: Group, count: Int): People {
        val others = groups.filterKeys { it != group }.values.sum()
        val bounded = count.coerceIn(0, MAX - others)
        val changed = if (bounded == 0) groups - group else groups + (group to bounded)
        // Those who were counted and not sorted yet are sorted first; only then are there more.
        return People(maxOf(total, changed.values.sum()), changed)
    }

    companion object {
        /** More than this is estimated in the note. */
        const val MAX = 9_999
    }
}

/** What is needed, each for how many people. */
enum class Need { Water, Medical, Transport }
