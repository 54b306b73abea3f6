import type { ErrorCode, SequenceRange } from "@millrace/core";
import type { ReadRequest, StoreState } from "../event-store.ts";
import type { PackedEvents, PackedRows } from "../packed-events.ts";

/** What the worker is told; it answers each request with one reply of the same id, in order. */
export type SqliteRequest =
  | { readonly id: number; readonly kind: "open"; readonly settings: SqliteSettings }
  | { readonly id: number; readonly kind: "write"; readonly change: PackedChange }
  | { readonly id: number; readonly kind: "read"; readonly request: ReadRequest }
  | { readonly id: number; readonly kind: "close" };

export interface SqliteReply {
  readonly id: number;
  readonly state?: StoreState;
  /** Of an opening and a change: bytes of the file's pages that hold nothing. */
  readonly vacantBytes?: number;
  readonly rows?: PackedRows;
  readonly failure?: SqliteFailure;
}

export interface SqliteFailure {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface SqliteSettings {
  readonly path: string;
  /** The channel's name: a file holds one channel. */
  readonly channel: string;
  readonly createsSchema: boolean;
  /** Libraries to try. */
  readonly modules: readonly string[];
  /** Free bytes that puts leave on the disk. */
  readonly minimumFreeBytes: number;
  /** The file's size is bounded by so many pages; 0 for no bound of ours. */
  readonly pagesMax: number;
}

export interface PackedChange {
  readonly removed: readonly SequenceRange[];
  readonly added:
    (PackedEvents & { readonly firstSequence: number; readonly putTimeMs: number }) | undefined;
  readonly after: StoreState;
}
