// A record's history as differences: what each change set, and what stood there before.

import type { Change } from './types';

export interface FieldDifference {
  field: string;
  before: unknown;
  after: unknown;
  /** Whether `before` is known: not for a first value, nor where two people wrote apart. */
  known: boolean;
}

export interface ChangeDifference {
  change: Change;
  differences: FieldDifference[];
}

/** Newest first. For a field in conflict no "before" is claimed: its authors had not seen each other. */
export function differences(items: Change[], conflicted: Set<string>): ChangeDifference[] {
  const values = new Map<string, unknown>();
  const result = items.map((change) => {
    const one = (field: string, after: unknown): FieldDifference => {
      const known = values.has(field) && !conflicted.has(field);
      const before = values.get(field);
      values.set(field, after);
      return { field, before, after, known };
    };
    return {
      change,
      differences: [
        ...change.sets.map(({ field, value }) => one(field, value)),
        ...change.removes.map((field) => one(field, null)),
      ],
    };
  });
  return result.reverse();
}
