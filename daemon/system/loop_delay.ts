/** How late the main thread's timers fire: the measure of whether the control plane stays responsive. */

/** Often enough to see what lasts, seldom enough to cost an idle machine next to nothing. */
const PERIOD_MS = 100;
/** Samples kept: the last minute. */
const SAMPLES = 600;

/** Delay of the event loop over the last minute. */
export class LoopDelay {
  readonly #samples = new Float32Array(SAMPLES);
  #count = 0;
  #expected = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Starts measuring; one timer every 100 ms, which does not keep the process alive. */
  start(): void {
    this.#expected = performance.now() + PERIOD_MS;
    this.#timer = setTimeout(() => {
      this.#samples[this.#count++ % SAMPLES] = Math.max(0, performance.now() - this.#expected);
      this.start();
    }, PERIOD_MS);
    Deno.unrefTimer(this.#timer as unknown as number);
  }

  /** Stops measuring. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Percentiles in milliseconds. */
  read(): { p50: number; p99: number; max: number } {
    const sorted = this.#samples.slice(0, Math.min(this.#count, SAMPLES)).sort();
    const at = (q: number) => Math.round((sorted[Math.floor(q * (sorted.length - 1))] ?? 0) * 100) / 100;
    return { p50: at(0.5), p99: at(0.99), max: at(1) };
  }
}
