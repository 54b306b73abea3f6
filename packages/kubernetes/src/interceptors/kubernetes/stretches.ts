import {
  beginHeaders,
  createHeaderWalk,
  type EventBatch,
  nameIs,
  nextHeader,
} from "@millrace/core";

/** Whose event it is, as its headers say. */
export interface Whose {
  /** The same for two events of one pod: its uid, or namespace/name where there is no uid. */
  readonly key: string;
  readonly uid: string | undefined;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string | undefined;
}

/** Neighbouring events of one container; `whose` is undefined where the headers name no pod. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly whose: Whose | undefined;
}

const names = ["uid", "container", "namespace", "pod"].map((name) => Buffer.from(name));
const [uidAt, containerAt, namespaceAt, podAt] = [0, 1, 2, 3] as const;

/** The batch in stretches, in order, without decoding an event. Mostly it is one. */
export function findStretches(batch: EventBatch): Stretch[] {
  const stretches: Stretch[] = [];
  const reader = new WhoseReader();
  let from = 0;
  let index = 0;
  for (const { slab, offsets, from: first, to } of batch.runs) {
    for (let i = first; i < to; i++, index++) {
      const before = reader.whose;
      if (reader.read(slab, offsets[i] as number, offsets[i + 1] as number) || index === 0)
        continue;
      stretches.push({ from, to: index, whose: before });
      from = index;
    }
  }
  if (batch.length > 0) stretches.push({ from, to: batch.length, whose: reader.whose });
  return stretches;
}

/**
 * Reads whose one event after another is, in one walk over its headers. The values are compared as
 * bytes with those of the event before, which are mostly the same: no text is made of them then.
 */
class WhoseReader {
  whose: Whose | undefined;
  readonly #walk = createHeaderWalk();
  /** Of each name, where the value is in the slab; -1 where the event has no such header. */
  readonly #starts = [-1, -1, -1, -1];
  readonly #ends = [-1, -1, -1, -1];
  /** The values of the event before. */
  readonly #values: (Buffer | undefined)[] = [undefined, undefined, undefined, undefined];

  /** Reads the event in `[start, end)`. Says whether it is of the same container as the one before. */
  read(slab: Buffer, start: number, end: number): boolean {
    const walk = this.#walk;
    this.#starts.fill(-1);
    beginHeaders(walk, start);
    while (nextHeader(slab, walk, end)) {
      for (let at = 0; at < names.length; at++) {
        if (!nameIs(slab, walk, names[at] as Buffer)) continue;
        this.#starts[at] = walk.valueStart;
        this.#ends[at] = walk.valueEnd;
        break;
      }
    }
    if (this.#isSame(slab)) return true;
    for (let at = 0; at < names.length; at++) {
      const from = this.#starts[at] as number;
      this.#values[at] = from < 0 ? undefined : slab.subarray(from, this.#ends[at]);
    }
    const before = this.whose;
    this.whose = this.#make();
    return this.whose?.key === before?.key && this.whose?.container === before?.container;
  }

  #isSame(slab: Buffer): boolean {
    for (let at = 0; at < names.length; at++) {
      const value = this.#values[at];
      const from = this.#starts[at] as number;
      if (value === undefined) {
        if (from >= 0) return false;
      } else {
        const length = value.length;
        if (from < 0 || (this.#ends[at] as number) - from !== length) return false;
        for (let i = 0; i < length; i++) if (slab[from + i] !== value[i]) return false;
      }
    }
    return true;
  }

  #make(): Whose | undefined {
    const [uid, container, namespace = "", pod = ""] = [uidAt, containerAt, namespaceAt, podAt].map(
      (at) => this.#values[at]?.toString("utf8"),
    );
    if (uid !== undefined && uid !== "") return { key: uid, uid, namespace, pod, container };
    if (namespace === "" || pod === "") return undefined;
    return { key: `${namespace}/${pod}`, uid: undefined, namespace, pod, container };
  }
}
