// The relay's time, as far as we know it: ages are told against it, not against this computer's clock.

class Clock {
  now = $state(Date.now());
  private offset = 0;

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
