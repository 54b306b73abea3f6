/**
 * An event as a component sees it: decoded on first look, never mutated. Headers are a map because
 * a name from the network may be `__proto__`. The body may share memory with its batch.
 */
export interface Event {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}
