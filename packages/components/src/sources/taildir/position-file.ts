/**
 * Two files. The position file is Flume's, so that a Java agent can go on from it:
 *
 *   [{"inode":2496272,"pos":12,"file":"/var/log/app.log"},...]
 *
 * `pos` counts the bytes that are committed. Beside it, `<positionFile>.millrace` tells each file
 * from another one that has got its inode number later:
 *
 *   {"version":1,"files":[{"inode":2496272,"file":"/var/log/app.log","size":12,
 *                          "headBytes":12,"head":"<SHA-256 of the first headBytes bytes, hex>"},...]}
 *
 * It is written second. Older than its position file it can make a file be read again, never be
 * skipped. Inode numbers over 2^53 are rounded, in both alike.
 */
import {
  fileExists,
  type FileSystem,
  hasHead,
  type Head,
  MillraceError,
  readWholeFile,
  replaceFile,
} from "@millrace/core";

export interface Position {
  readonly inode: number;
  readonly pos: number;
  readonly file: string;
}
export interface Fingerprint extends Head {
  /** Bytes the file was last seen to have. */
  readonly size: number;
}
/** A file as the last run left it; without a fingerprint when Flume wrote the position. */
export interface SavedFile extends Position {
  readonly fingerprint: Fingerprint | undefined;
}

/** Whether the file is the saved one. Flume's rule is inode and path; with a fingerprint the path may differ. */
export function isSavedAs(
  saved: SavedFile,
  file: { readonly inode: number; readonly path: string; readonly head: Buffer },
): boolean {
  if (saved.inode !== file.inode) return false;
  const isKnown = saved.fingerprint !== undefined && saved.fingerprint.headBytes > 0;
  return isKnown ? hasHead(saved.fingerprint, file.head) : saved.file === file.path;
}

/** Reads the position file's text; throws POSITION_FILE_INVALID with the file's name. */
export function parsePositions(text: string, path: string): Position[] {
  // Flume leaves the file empty when it knows of no file.
  if (text.trim() === "") return [];
  const refuse = (why: string, cause?: unknown): MillraceError =>
    new MillraceError(
      "POSITION_FILE_INVALID",
      `${path} ${why}; restore it, or move it away to read every file from its start`,
      { cause, context: { path } },
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw refuse(`is not JSON (${(cause as Error).message})`, cause);
  }
  if (!Array.isArray(parsed)) throw refuse("is not an array");
  return parsed.map((entry: unknown, index) => {
    const { inode, pos, file } = (entry ?? {}) as Record<string, unknown>;
    if (!isCount(inode)) throw refuse(`lacks a number "inode" in entry ${index}`);
    if (!isCount(pos)) throw refuse(`lacks a number "pos" in entry ${index}`);
    if (typeof file !== "string") throw refuse(`lacks a text "file" in entry ${index}`);
    return { inode, pos, file };
  });
}

export function formatPositions(positions: readonly Position[]): string {
  return JSON.stringify(positions.map(({ inode, pos, file }) => ({ inode, pos, file })));
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

/** By `inode path`, and by `inode` alone; undefined when the text is not what `formatFingerprints` writes. */
export function parseFingerprints(text: string): ReadonlyMap<string, Fingerprint> | undefined {
  try {
    const { version, files } = JSON.parse(text) as { version: unknown; files: unknown[] };
    if (version !== 1) return undefined;
    const found = new Map<string, Fingerprint>();
    for (const entry of files) {
      const { inode, file, size, headBytes, head } = entry as Record<string, unknown>;
      const isWhole = isCount(inode) && isCount(size) && isCount(headBytes);
      if (!isWhole || typeof file !== "string" || typeof head !== "string") return undefined;
      found.set(`${inode} ${file}`, { size, headBytes, head });
      found.set(`${inode}`, { size, headBytes, head });
    }
    return found;
  } catch {
    return undefined;
  }
}

export function formatFingerprints(files: readonly SavedFile[]): string {
  const known = files.filter(({ fingerprint }) => fingerprint !== undefined);
  return JSON.stringify({
    version: 1,
    files: known.map(({ inode, file, fingerprint }) => ({ inode, file, ...fingerprint })),
  });
}

/**
 * What the last run left. `onForeign` is told when the side file cannot be read: then positions
 * count as Flume's own do.
 */
export async function loadPositions(
  files: FileSystem,
  path: string,
  onForeign: (path: string) => void,
): Promise<SavedFile[]> {
  if (!(await fileExists(files, path))) return [];
  const positions = parsePositions((await readWholeFile(files, path)).toString(), path);
  const sidePath = `${path}.millrace`;
  let fingerprints: ReadonlyMap<string, Fingerprint> | undefined = new Map();
  if (await fileExists(files, sidePath)) {
    fingerprints = parseFingerprints((await readWholeFile(files, sidePath)).toString());
    if (fingerprints === undefined) onForeign(sidePath);
  }
  // After a crash between the two the side file may know the file by its old name.
  return positions.map((position) => ({
    ...position,
    fingerprint:
      fingerprints?.get(`${position.inode} ${position.file}`) ??
      fingerprints?.get(`${position.inode}`),
  }));
}

/** Replaces both files, each whole or not at all. */
export async function savePositions(
  files: FileSystem,
  path: string,
  saved: readonly SavedFile[],
): Promise<void> {
  await replaceFile(files, path, Buffer.from(formatPositions(saved)));
  await replaceFile(files, `${path}.millrace`, Buffer.from(formatFingerprints(saved)));
}
