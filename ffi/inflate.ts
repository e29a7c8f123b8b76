/** What the decompression libraries have in common at the edge. */

/**
 * A decompressor of a native library. Input must stay untouched while it is being consumed; while an asynchronous call is under way,
 * nothing else may be called, and neither input nor output touched.
 */
export interface NativeInflate extends Disposable {
  /** Whether the input so far ends with a whole member or frame, its checksum right. */
  readonly finished: boolean;
  /** Bytes of the input given last that were not consumed. */
  readonly remaining: number;
  /** Gives more input; the one before must be consumed. */
  setInput(input: Uint8Array<ArrayBuffer>): void;
  /** Makes ready for another member where the format asks for it; unconsumed input stays. */
  reset(): void;
  /**
   * Fills `output` as far as the input goes.
   *
   * @returns bytes written; fewer than asked for means that the input is consumed, or a member or frame over
   * @throws Error with the reason when the data is not valid
   */
  inflate(output: Uint8Array<ArrayBuffer>): number;
  /** As inflate, on a pool thread. */
  inflateAsync(output: Uint8Array<ArrayBuffer>): Promise<number>;
}
