import { expect, it } from 'vitest';

import { fold, matches } from './fold';

it.each([
  ['سيّارة', 'سياره'], ['أُوباري', 'اوباري'], ['الوادى', 'الوادي'], ['مؤنة', 'مونه'], ['٢٠٢٦', '2026'], ['مـــاء', 'ماء'], ['GHAT', 'ghat'],
  ['أ', 'ا'], ['\u0627\u0654وباري', 'اوباري'],
])('folds %s to %s', (text, folded) => {
  expect(fold(text)).toBe(folded);
});

it('finds every word in any of the texts', () => {
  expect(matches('غات bg', ['دورية غات', 'BG-118', null])).toBe(true);
  expect(matches('غات rc', ['دورية غات', 'BG-118'])).toBe(false);
  expect(matches('', [])).toBe(true);
});
