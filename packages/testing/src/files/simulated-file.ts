import type { Random } from "@millrace/core";

/** What a power cut does with everything that was not synced. */
export type PowerCut = "lose" | "keep" | "mix";

/**
 * One file as a disk with a volatile cache holds it. Reads see `content`; `stored` is what is
 * certainly on the platter. In between, each sector has the versions that were written since the
 * last sync, any one of which a power cut may leave behind, whatever their order.
 */
export class SimulatedFile {
  readonly isDirectory = false;
  content: Buffer = Buffer.alloc(0);
  length = 0;
  #stored: Buffer = Buffer.alloc(0);
  #storedLength = 0;
  readonly #sectorBytes: number;
  #versions = new Map<number, Buffer[]>();

  constructor(sectorBytes: number) {
    this.#sectorBytes = sectorBytes;
  }

  /** Sectors whose last write is not synced. */
  get dirtySectors(): number {
    return this.#versions.size;
  }

  /** Bytes whose blocks are taken: those of a truncation not before it is stored. */
  get allocatedBytes(): number {
    return Math.max(this.length, this.#storedLength);
  }

  /** The file system stores that the file was truncated, as it does before it uses blocks again. */
  commitLength(): void {
    this.#storedLength = Math.min(this.#storedLength, this.length);
  }

  write(bytes: Buffer, position: number): void {
    const end = position + bytes.length;
    this.content = grown(this.content, end);
    if (position > this.length) this.content.fill(0, this.length, position);
    bytes.copy(this.content, position);
    this.length = Math.max(this.length, end);
    const first = Math.floor(position / this.#sectorBytes);
    for (let sector = first; sector * this.#sectorBytes < end; sector++) this.#touch(sector);
  }

  truncate(length: number): void {
    const before = this.length;
    this.content.fill(0, length, before);
    this.length = length;
    const first = Math.floor(length / this.#sectorBytes);
    for (let sector = first; sector * this.#sectorBytes < before; sector++) this.#touch(sector);
  }

  /** Stores what is dirty, and nothing that a failed sync gave up. */
  sync(): void {
    for (const sector of this.#versions.keys()) this.#store(sector);
    this.#storedLength = this.length;
    this.#versions.clear();
  }

  /**
   * A sync that fails: some sectors got through, and none is dirty any more, so no later sync
   * stores them, though reads go on showing them.
   */
  failSync(random: Random): void {
    for (const sector of this.#versions.keys()) {
      if (random.integer(2) === 0) this.#store(sector);
    }
    if (random.integer(2) === 0) this.#storedLength = this.length;
    this.#versions.clear();
  }

  /**
   * Leaves the file as it is found after the power came back. `garbage` fills what was allocated.
   * Returns whether it is torn: some of what was not synced is there and some is not.
   */
  powerCut(how: PowerCut, random: Random, garbage: Buffer): boolean {
    const cut = Math.max(this.length, this.#storedLength);
    const stored = grown(this.#stored, cut);
    if (
      how === "mix" &&
      cut > this.#storedLength &&
      garbage.length > 0 &&
      random.integer(2) === 0
    ) {
      for (let at = this.#storedLength; at < cut; at += garbage.length) {
        garbage.copy(stored, at, 0, Math.min(garbage.length, cut - at));
      }
    }
    let kept = 0;
    for (const [sector, versions] of this.#versions) {
      const last = versions.length - 1;
      const pick =
        how === "lose" ? -1 : how === "keep" ? last : random.integer(versions.length + 1) - 1;
      versions[pick]?.copy(stored, sector * this.#sectorBytes);
      if (pick === last) kept++;
    }
    const isTorn = kept > 0 && kept < this.#versions.size;
    this.#storedLength = this.#lengthAfter(how, random);
    this.#stored = Buffer.from(stored.subarray(0, this.#storedLength));
    this.content = Buffer.from(this.#stored);
    this.length = this.#storedLength;
    this.#versions.clear();
    return isTorn;
  }

  /** Changes stored and visible bytes alike: rot, not a write. */
  damage(position: number, bytes: Buffer): void {
    bytes.copy(this.content, position);
    bytes.copy(this.#stored, position);
  }

  #store(sector: number): void {
    const start = sector * this.#sectorBytes;
    this.#stored = grown(this.#stored, start + this.#sectorBytes);
    this.content.copy(this.#stored, start, start, start + this.#sectorBytes);
  }

  #lengthAfter(how: PowerCut, random: Random): number {
    if (how === "lose") return this.#storedLength;
    if (how === "keep") return this.length;
    const low = Math.min(this.length, this.#storedLength);
    const steps = Math.ceil(Math.abs(this.length - this.#storedLength) / this.#sectorBytes);
    const high = Math.max(this.length, this.#storedLength);
    return Math.min(high, low + random.integer(steps + 1) * this.#sectorBytes);
  }

  #touch(sector: number): void {
    const start = sector * this.#sectorBytes;
    this.content = grown(this.content, start + this.#sectorBytes);
    const version = Buffer.from(this.content.subarray(start, start + this.#sectorBytes));
    const versions = this.#versions.get(sector);
    if (versions === undefined) this.#versions.set(sector, [version]);
    else versions.push(version);
  }
}

function grown(bytes: Buffer, length: number): Buffer {
  if (bytes.length >= length) return bytes;
  const larger = Buffer.alloc(Math.max(length, bytes.length * 2));
  bytes.copy(larger);
  return larger;
}
