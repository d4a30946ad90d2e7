// Text folded for searching within loaded lists, by the same rules as the relay's search: alef,
// hamza, ya and ta marbuta variants are one, diacritics and tatweel are none, digits are Western.

const LETTERS: Record<string, string> = { أ: 'ا', إ: 'ا', آ: 'ا', ٱ: 'ا', ى: 'ي', ی: 'ي', ة: 'ه', ؤ: 'و', ئ: 'ي', ک: 'ك' };

export function fold(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/[أإآٱىیةؤئک]/g, (letter) => LETTERS[letter]!)
    .normalize('NFKD')
    .replace(/[\p{M}ـ]/gu, '')
    .replace(/[٠-٩]/g, (digit) => String(digit.charCodeAt(0) - 0x660))
    .replace(/[۰-۹]/g, (digit) => String(digit.charCodeAt(0) - 0x6f0))
    .toLowerCase();
}

/** Whether every word of the query is in one of the texts. */
export function matches(query: string, texts: (string | null | undefined)[]): boolean {
  const hay = fold(texts.filter(Boolean).join(' '));
  return fold(query).split(/\s+/).every((part) => hay.includes(part));
}
