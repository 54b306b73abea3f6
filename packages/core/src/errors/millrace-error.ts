import type { Ranges } from "../events/ranges.ts";
import { type Answer, type ErrorCode, errorTable } from "./error-table.ts";

export interface ErrorDetail {
  /** What the library or system call threw. */
  readonly cause?: unknown;
  /** Numbers and names for the log, never event bodies. */
  readonly context?: Readonly<Record<string, unknown>>;
}

/** The one error class. `answer` is what the caller does next; the code explains itself in ERRORS.md. */
export class MillraceError extends Error {
  readonly code: ErrorCode;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = "MillraceError";
    this.code = code;
    this.context = detail.context ?? {};
  }

  get answer(): Answer {
    return errorTable[this.code].answer;
  }
}

export interface DeliveryDetail extends ErrorDetail {
  readonly settled?: Ranges;
  readonly rejected?: Ranges;
  readonly retryAfterMs?: number;
}

/**
 * A delivery that did not succeed whole. `settled` are positions in the batch that the store has,
 * `rejected` those it can never take; the rest is to be delivered again, not before
 * `retryAfterMs` where the store said so.
 */
export class DeliveryError extends MillraceError {
  readonly settled: Ranges;
  readonly rejected: Ranges;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, detail: DeliveryDetail = {}) {
    super(code, message, detail);
    this.name = "DeliveryError";
    this.settled = detail.settled ?? [];
    this.rejected = detail.rejected ?? [];
    this.retryAfterMs = detail.retryAfterMs;
  }
}

/** Whatever was thrown, as one of ours: ours unchanged, anything else wrapped once with its cause. */
export function toMillraceError(
  thrown: unknown,
  code: ErrorCode = "UNEXPECTED",
  prefix = "",
): MillraceError {
  if (thrown instanceof MillraceError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new MillraceError(code, prefix === "" ? text : `${prefix}: ${text}`, { cause: thrown });
}

/** The `code` of a Node system error ("ENOENT", "EADDRINUSE"), or "" for anything else. */
export function systemErrorCode(thrown: unknown): string {
  if (thrown instanceof Error && "code" in thrown && typeof thrown.code === "string") {
    return thrown.code;
  }
  return "";
}
