import { encodeHeaders, longBytes, writeLong } from "./avro-event.ts";
import { EventBatch } from "./event-batch.ts";

const slabBytesFirst = 4096;
const eventsFirst = 64;

/** Writes events one by one into a growing slab. `build` hands the slab over and starts anew. */
export class EventBatchBuilder {
  #slab: Buffer = Buffer.alloc(0);
  #offsets = new Uint32Array(eventsFirst + 1);
  #length = 0;
  #bytes = 0;

  get length(): number {
    return this.#length;
  }

  get byteLength(): number {
    return this.#bytes;
  }

  /** Adds an event. `headers` may come encoded, from `encodeHeaders`, when many events share them. */
  add(headers: ReadonlyMap<string, string> | Buffer | undefined, body: Uint8Array): void {
    const head = Buffer.isBuffer(headers) ? headers : encodeHeaders(headers ?? noHeaders);
    const size = head.length + longBytes(body.length) + body.length;
    this.#reserve(size);
    let at = this.#bytes;
    this.#slab.set(head, at);
    at = writeLong(this.#slab, at + head.length, body.length);
    this.#slab.set(body, at);
    this.#bytes = at + body.length;
    this.#length++;
    this.#offsets[this.#length] = this.#bytes;
  }

  /** The batch of what was added. The builder is empty afterwards. */
  build(): EventBatch {
    if (this.#length === 0) return EventBatch.empty;
    // A batch may wait in a channel for long: what the slab has to spare costs memory all the while.
    const roomy = (this.#slab.length - this.#bytes) * 32 > this.#bytes;
    const slab = roomy ? Buffer.from(this.#slab.subarray(0, this.#bytes)) : this.#slab;
    const batch = EventBatch.fromSlab(slab, this.#offsets.slice(0, this.#length + 1));
    this.#slab = Buffer.alloc(0);
    this.#length = 0;
    this.#bytes = 0;
    return batch;
  }

  #reserve(size: number): void {
    const needed = this.#bytes + size;
    if (needed > this.#slab.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(slabBytesFirst, needed, this.#slab.length * 2));
      this.#slab.copy(grown, 0, 0, this.#bytes);
      this.#slab = grown;
    }
    if (this.#length + 1 >= this.#offsets.length) {
      const grown = new Uint32Array(this.#offsets.length * 2);
      grown.set(this.#offsets);
      this.#offsets = grown;
    }
  }
}

const noHeaders: ReadonlyMap<string, string> = new Map();
