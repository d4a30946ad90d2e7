import { describe, expect, it } from 'vitest';

import { EVERY_PART, initialLive, reduceLive, SILENCE_MS_MAX, type LiveInput, type LiveState } from './live';

const run = (inputs: LiveInput[], from: LiveState = initialLive(0)) => inputs.reduce(reduceLive, from);
const item = { kind: 'event', space: 'aa', id: '1' };

describe('the live stream', () => {
  it('fetches everything when it opens, for what it missed is unknown', () => {
    const state = run([{ type: 'open', at: 5 }]);
    expect(state).toMatchObject({ phase: 'live', since: 5, heard: 5 });
    expect([...state.dirty]).toEqual(EVERY_PART);
  });

  it('remembers what changed until it has been fetched', () => {
    let state = run([{ type: 'open', at: 1 }, { type: 'fetched', parts: EVERY_PART }, { type: 'changed', at: 2, items: [item] }]);
    expect([...state.dirty]).toEqual(['events']);
    expect([...state.changed]).toEqual(['event/aa/1']);
    state = run([{ type: 'fetched', parts: ['events'] }], state);
    expect(state.dirty.size + state.changed.size).toBe(0);
  });

  it('does not lose a change that came while another part was fetched', () => {
    const state = run([
      { type: 'changed', at: 1, items: [item] },
      { type: 'changed', at: 2, items: [{ kind: 'track', space: 'aa', id: '2' }] },
      { type: 'fetched', parts: ['events'] },
    ]);
    expect([...state.dirty].sort()).toEqual(['patrols', 'tracks']);
    expect(state.changed.has('track/aa/2')).toBe(true);
  });

  it('marks what could not be fetched as still to fetch', () => {
    const state = run([{ type: 'changed', at: 1, items: [item] }, { type: 'fetched', parts: ['events'] }, { type: 'failed', parts: ['events'] }]);
    expect([...state.dirty]).toEqual(['events']);
  });

  it('fetches everything for a kind it does not know, and after a reset', () => {
    expect(run([{ type: 'changed', at: 1, items: [{ kind: 'rescue_case', space: 'a', id: 'b' }] }]).dirty.size).toBe(EVERY_PART.length);
    expect(run([{ type: 'reset', at: 1 }]).dirty.size).toBe(EVERY_PART.length);
  });

  it('is offline since it was lost, and stays so while trying', () => {
    const state = run([{ type: 'open', at: 1 }, { type: 'lost', at: 100 }, { type: 'lost', at: 900 }, { type: 'tick', at: 2_000 }]);
    expect(state).toMatchObject({ phase: 'offline', since: 100 });
  });

  it('takes a long silence for a dead link, since the last word', () => {
    const open = run([{ type: 'open', at: 0 }, { type: 'ping', at: 1_000 }]);
    expect(run([{ type: 'tick', at: 1_000 + SILENCE_MS_MAX }], open).phase).toBe('live');
    expect(run([{ type: 'tick', at: 1_001 + SILENCE_MS_MAX }], open)).toMatchObject({ phase: 'offline', since: 1_000 });
  });

  it('does not grow without bound', () => {
    const items = Array.from({ length: 5_000 }, (_, n) => ({ kind: 'event', space: 'a', id: String(n) }));
    expect(run([{ type: 'changed', at: 1, items }]).changed.size).toBe(500);
  });

  it('never changes a state it was given', () => {
    const before = run([{ type: 'open', at: 1 }]);
    const copy = { ...before, dirty: new Set(before.dirty), changed: new Set(before.changed) };
    run([{ type: 'changed', at: 2, items: [item] }, { type: 'fetched', parts: ['events'] }], before);
    expect(before).toEqual(copy);
  });
});
