// The read API's answers, as the relay sends them. Times are RFC 3339 in UTC.

export type RecordKind = 'event' | 'alert';
export type Time = string;

export interface Organisation {
  id: string;
  name_ar: string;
  name_en: string;
  kind?: string;
  colour_index: number;
}

export interface Space {
  id: string;
  kind: 'joint' | 'organisation';
  name_ar: string;
  name_en: string;
}

export interface Place {
  lat: number;
  lon: number;
  accuracy_m: number | null;
  how: string | null;
}

export interface Persons {
  total: number | null;
  women: number | null;
  men: number | null;
  girls: number | null;
  boys: number | null;
  unknown: number | null;
}

export interface Needs {
  water: number | null;
  medical: number | null;
  transport: number | null;
}

export interface Authorship {
  device: string;
  device_label: string | null;
  at: Time;
}

export interface EventRecord {
  id: string;
  kind: RecordKind;
  space: string;
  organisation: Organisation | null;
  time: Time;
  place: Place | null;
  type: string | null;
  category: string | null;
  layer: string | null;
  priority: number | null;
  title: string | null;
  note: string | null;
  review_state: string | null;
  operational_state: string | null;
  persons: Persons | null;
  needs: Needs | null;
  patrol: string | null;
  reported_by: string | null;
  conflicts: number;
  withdrawn: boolean;
  created: Authorship;
  updated: Authorship;
  received_at: Time | null;
  fields: Record<string, unknown>;
}

export interface ConflictValue {
  value: unknown;
  device: string;
  device_label: string | null;
  organisation: Organisation | string | null;
  at: Time;
  current: boolean;
}

export interface FieldConflict {
  field: string;
  values: ConflictValue[];
}

export interface Attachment {
  hash: string;
  type: string;
  len: number;
  thumbnail: { hash: string; len: number; held: boolean } | null;
  /** Whether the relay has it; if not, it is still on a phone. */
  held: boolean;
}

export interface EventDetail extends EventRecord {
  conflict_fields: FieldConflict[];
  attachments: Attachment[];
}

export interface Change {
  change: string;
  at: Time;
  received_at: Time | null;
  device: string;
  device_label: string | null;
  organisation: Organisation | string | null;
  sets: { field: string; value: unknown }[];
  removes: string[];
  kind: 'created' | 'edited' | 'withdrawn' | 'restored';
}

export interface Patrol {
  id: string;
  space: string;
  organisation: Organisation | null;
  serial: string | null;
  title: string | null;
  objective: string | null;
  patrol_type: string | null;
  unit: string | null;
  leader: string | null;
  transport: string | null;
  priority: number | null;
  state: string | null;
  scheduled_start: Time | null;
  scheduled_end: Time | null;
  started_at: Time | null;
  ended_at: Time | null;
  positions: number;
  last_position: { lat: number; lon: number; accuracy_m: number | null; at: Time } | null;
  events: number;
  conflicts: number;
  fields: Record<string, unknown>;
}

export interface LatestPosition {
  device: string;
  device_label: string | null;
  organisation: Organisation | string | null;
  patrol: string | null;
  lat: number;
  lon: number;
  accuracy_m: number | null;
  at: Time;
}

export interface Device {
  id: string;
  label: string | null;
  organisation: Organisation | string | null;
  state: string;
  enrolled_at: Time | null;
  last_seen: Time | null;
  connected: boolean;
  unsent_reported: number | null;
  behind: number;
  last_received_at: Time | null;
}

export interface Stats {
  events: number;
  alerts_open: number;
  patrols_active: number;
  devices: number;
  devices_connected: number;
  conflicts: number;
  log_head: number;
  materialised_head: number;
  set_aside: number;
}

export interface Session {
  account: { name: string; role: string };
  /** `maps`: the names of the operator's own map files under /maps, if there are any. */
  relay: { version: string; name_ar: string; name_en: string; demo: boolean; maps?: string[] };
  now: Time;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Changed {
  kind: string;
  space: string;
  id: string;
}

export interface TrackProperties {
  device?: string;
  device_label?: string | null;
  gap?: boolean;
  reason?: string;
  from: Time;
  to: Time;
  times?: Time[];
}

/** A gap at either end of a track has no line: one of its ends was never received. */
export type Track = GeoJSON.FeatureCollection<GeoJSON.LineString | null, TrackProperties>;
