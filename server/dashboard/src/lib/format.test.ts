import { describe, expect, it } from 'vitest';

import { age, clock, coordinates, dateTime, duration, instant, integer, sexagesimal } from './format';

const NOW = Date.parse('2026-11-24T20:00:00.000Z');
const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

describe('ages', () => {
  it.each([
    [0, 'now', 0], [4 * S, 'now', 0], [12 * S, 'seconds', 12], [59 * S, 'seconds', 59], [M, 'minutes', 1], [59.9 * M, 'minutes', 59],
    [H, 'hours', 1], [47 * H, 'hours', 47], [2 * D, 'days', 2], [400 * D, 'days', 400],
  ] as const)('%i ms ago is %s %i', (ms, unit, n) => {
    expect(age(NOW - ms, NOW)).toEqual({ unit, n });
  });

  it('forgive a clock a little ahead and name one far ahead', () => {
    expect(age(NOW + 90 * S, NOW)).toEqual({ unit: 'now', n: 0 });
    expect(age(NOW + 30 * M, NOW)).toEqual({ unit: 'ahead', n: 30 });
  });
});

it('lengths of time never go below zero', () => {
  expect(duration(-5)).toEqual({ unit: 'seconds', n: 0 });
  expect(duration(70 * M)).toEqual({ unit: 'hours', n: 1 });
  expect(duration(3 * D)).toEqual({ unit: 'days', n: 3 });
});

describe('coordinates', () => {
  it('are decimal degrees with hemispheres', () => {
    expect(coordinates(24.96, 10.18)).toBe('24.96000° N, 10.18000° E');
    expect(coordinates(-1.5, -0.00001)).toBe('1.50000° S, 0.00001° W');
  });

  it('carry seconds and minutes over', () => {
    expect(sexagesimal(24.9999999, 10.5)).toBe('25°00′00″ N  10°30′00″ E');
    expect(sexagesimal(-22.6501, 14.11)).toBe('22°39′00″ S  14°06′36″ E');
  });
});

describe('dates and numbers', () => {
  it('have Western digits in Arabic and an Arabic month', () => {
    const text = dateTime(NOW, 'ar');
    expect(text).toMatch(/2026/);
    expect(text).toMatch(/نوفمبر/);
    expect(text).not.toMatch(/[٠-٩]/);
    expect(clock(NOW, 'ar')).toMatch(/^\d\d:\d\d$/);
    expect(integer(1234567, 'ar')).not.toMatch(/[٠-٩]/);
  });

  it('are none rather than nonsense when a time cannot be read', () => {
    expect(instant('soon')).toBeNull();
    expect(instant(null)).toBeNull();
    expect(instant('2026-11-24T20:00:00.000Z')).toBe(NOW);
  });
});
