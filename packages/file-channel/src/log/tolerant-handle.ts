import { type FileHandle, systemErrorCode } from "@millrace/core";

/** Bytes `[from, to)` of a file. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

const blockBytes = 4096;

export type TolerantHandle = FileHandle & { readonly unreadable: readonly ByteRange[] };

/** Any error of the system, by its code. */
const anyError = (code: string): boolean => code !== "";

/**
 * Reads on where the disk gives an error: a block that cannot be read comes as zeros, which verify
 * as nothing, and is listed. What lies around it is read as ever. An error that `isTolerated` does
 * not know is thrown.
 */
export function tolerantHandle(handle: FileHandle, isTolerated = anyError): TolerantHandle {
  const unreadable: { from: number; to: number }[] = [];
  const note = (from: number, to: number): void => {
    if (unreadable.some((one) => from >= one.from && to <= one.to)) return;
    const last = unreadable.at(-1);
    if (last?.to === from) last.to = to;
    else unreadable.push({ from, to });
  };
  const readBlocks = async (
    into: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<number> => {
    const { size } = await handle.stat();
    const end = Math.min(position + length, size);
    let at = position;
    while (at < end) {
      const blockEnd = Math.min(end, at - (at % blockBytes) + blockBytes);
      const place = offset + at - position;
      try {
        const read = await handle.read(into, place, blockEnd - at, at);
        if (read === 0) break;
        at += read;
      } catch (error) {
        if (!isTolerated(systemErrorCode(error))) throw error;
        into.fill(0, place, place + blockEnd - at);
        note(at, blockEnd);
        at = blockEnd;
      }
    }
    return at - position;
  };
  return {
    unreadable,
    async read(into, offset, length, position) {
      try {
        return await handle.read(into, offset, length, position);
      } catch (error) {
        if (!isTolerated(systemErrorCode(error))) throw error;
        return readBlocks(into, offset, length, position);
      }
    },
    write: (buffers, position) => handle.write(buffers, position),
    datasync: () => handle.datasync(),
    truncate: (length) => handle.truncate(length),
    stat: () => handle.stat(),
    close: () => handle.close(),
  };
}
