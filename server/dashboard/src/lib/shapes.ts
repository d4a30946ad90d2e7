// Marks that tell apart without colour: one shape a layer, drawn alike in lists and on the map.

/** Paths in a 24 × 24 box. */
export const SHAPES: Record<string, string> = {
  border_crossing: 'M12 2 22 12 12 22 2 12Z',
  cross_border_crime: 'M4 4H20V20H4Z',
  crisis_rescue: 'M8.5 2.5H15.5V8.5H21.5V15.5H15.5V21.5H8.5V15.5H2.5V8.5H8.5Z',
  other: 'M12 3A9 9 0 1 1 12 21 9 9 0 1 1 12 3Z',
  warning: 'M12 2 23 21.5H1Z',
  alert: 'M8 1.5H16L22.5 8V16L16 22.5H8L1.5 16V8Z',
};

/** An SOS has a shape that nothing else has. */
export function shapeOf(record: { kind: string; type: string | null; layer: string | null }): string {
  if (record.kind === 'alert') return record.type === 'sos' ? 'alert' : 'warning';
  return record.layer && record.layer in SHAPES ? record.layer : 'other';
}

/** Okabe–Ito without vermillion, which is kept for alerts, and without black. */
export const ORGANISATION_COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#f0e442', '#999999'];
export const ALERT_COLOUR = '#d55e00';

export function organisationColour(index: number | null | undefined): string {
  if (index === null || index === undefined || index < 0) return '#8a8f91';
  return ORGANISATION_COLOURS[index % ORGANISATION_COLOURS.length]!;
}
