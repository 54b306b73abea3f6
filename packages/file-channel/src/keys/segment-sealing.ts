import { MillraceError, type Random } from "@millrace/core";
import { BodySealer } from "../format/sealed-body.ts";
import { keyAliasBytesMax, keySaltBytes, type SegmentHeader } from "../format/segment-header.ts";
import type { KeyProvider } from "./key-provider.ts";
import { deriveSegmentKey } from "./segment-key.ts";

/** A segment that is to be written, and what encrypts its events. */
export interface SealedSegment {
  readonly header: SegmentHeader;
  /** Undefined where it is plain. */
  readonly sealer: BodySealer | undefined;
}

/**
 * Makes the headers of new segments encrypted ones, each with a data key of its own. The named key
 * is read once, at a start: another `activeKey` takes effect at the next one, and a key that goes
 * away while the channel runs stops nothing.
 */
export class SegmentSealing {
  readonly #alias: string;
  readonly #named: Buffer;
  readonly #random: Random;

  private constructor(alias: string, named: Buffer, random: Random) {
    this.#alias = alias;
    this.#named = named;
    this.#random = random;
  }

  /** Throws KEY_MISSING or KEY_INVALID. Without an active key new segments are plain. */
  static async prepare(
    activeKey: string | undefined,
    keys: KeyProvider | undefined,
    random: Random,
  ): Promise<SegmentSealing | undefined> {
    if (activeKey === undefined) return undefined;
    if (keys === undefined) throw noKeys(`the active key is "${activeKey}"`);
    if (Buffer.byteLength(activeKey) > keyAliasBytesMax) {
      throw new MillraceError(
        "KEY_INVALID",
        `the name of the active key is longer than ${keyAliasBytesMax} bytes`,
      );
    }
    return new SegmentSealing(activeKey, await keys.key(activeKey), random);
  }

  seal(header: SegmentHeader): SealedSegment {
    const keySalt = this.#random.bytes(keySaltBytes);
    const { dataKey, check } = deriveSegmentKey(this.#named, header, keySalt);
    const encryption = { keyAlias: this.#alias, keySalt, keyCheck: check };
    return { header: { ...header, encryption }, sealer: new BodySealer(dataKey) };
  }
}

/** A new segment's header as it is to be written. */
export function beginSegment(
  header: Omit<SegmentHeader, "encryption">,
  sealing: SegmentSealing | undefined,
): SealedSegment {
  return sealing === undefined ? { header, sealer: undefined } : sealing.seal(header);
}

/** Encrypted segments, or an active key, and nobody to ask for keys. */
export function noKeys(why: string): MillraceError {
  return new MillraceError(
    "KEY_MISSING",
    `${why}, but no key provider is configured; set encryption.keyProvider`,
  );
}
