// The relay's time, as far as we know it: ages are told against it, not against this computer's clock.

const MINUTE_MS = 60_000;

class Clock {
  now = $state(Date.now());
  private offset = 0;

  /** A "now" for telling the age of `at` that moves each second at first and each minute after. */
  nowFor(at: number): number {
    const age = this.now - at;
    return age < MINUTE_MS ? this.now : at + Math.floor(age / MINUTE_MS) * MINUTE_MS;
  }

  /** The relay said it is `at`. */
  set(at: number): void {
    this.offset = at - Date.now();
    this.tick();
  }

  tick(): void {
    this.now = Date.now() + this.offset;
  }
}

export const relayClock = new Clock();
