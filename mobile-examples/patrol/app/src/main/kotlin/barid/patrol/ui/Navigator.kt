package barid.patrol.ui

import barid.patrol.model.Key
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update

sealed interface Destination {
    data object Home : Destination
    data object Records : Destination
    data object Map : Destination
    data object Sync : Destination
    data object Sos : Destination
    data object ChooseType : Destination
    data object Record : Destination
    data object Patrol : Destination
    data class Detail(val key: Key) : Destination
    data class Review(val key: Key) : Destination
    data object Exchange : Destination
    data object Files : Destination

    /** Whether the bar of the five places is shown under it. */
    val isTop: Boolean get() = this in setOf(Home, Records, Map, Sync)
}

/** Where one is and how one came there. */
class Navigator {
    private val places = MutableStateFlow(listOf<Destination>(Destination.Home))
    val stack: StateFlow<List<Destination>> = places.asStateFlow()

    fun go(destination: Destination) = places.update { it - destination + destination }

    /** One of the places of the bar; from there back leads home. */
    fun switch(destination: Destination) = places.update { listOf(Destination.Home, destination).distinct() }

    /** Whether there was a way back inside the app. */
    fun back(): Boolean {
        val before = places.value
        if (before.size > 1) places.value = before.dropLast(1)
        return before.size > 1
    }

    /** After recording: the type and the form are behind us. */
    fun home() = places.update { listOf(Destination.Home) }
}
