/** Each key once, the first one kept. A list that names a record twice must not break the page. */
export function unique<T>(items: T[], key: (item: T) => string): T[] {
  const seen = new Set<string>();
  return items.filter((item) => {
    const own = key(item);
    return !seen.has(own) && !!seen.add(own);
  });
}
