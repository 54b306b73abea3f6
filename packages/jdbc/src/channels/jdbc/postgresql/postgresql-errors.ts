import { type ErrorCode, MillraceError } from "@millrace/core";
import { DatabaseError } from "pg";

/** Two transactions in each other's way: the server undid ours, and it may be tried at once. */
export function isConflict(error: unknown): boolean {
  return error instanceof DatabaseError && /^(40001|40P01|55P03)$/.test(error.code ?? "");
}

/**
 * What pg threw, as one of ours. An error of the server says that the statement is undone; anything
 * else comes from the connection, and what became of the statement is unknown.
 */
export function postgresqlError(thrown: unknown, place: string): MillraceError {
  if (thrown instanceof MillraceError) return thrown;
  const text = messageOf(thrown);
  const state = thrown instanceof DatabaseError ? (thrown.code ?? "") : undefined;
  const code = state === undefined ? codeOfConnection(thrown) : codeOfState(state);
  const suffix = state === undefined ? "" : ` (${state})`;
  return new MillraceError(code, `${place}: ${text}${suffix}`, { cause: thrown });
}

function messageOf(thrown: unknown): string {
  // Node's error for a host with several addresses has no message of its own.
  if (thrown instanceof AggregateError && thrown.message === "") {
    return thrown.errors.map((error) => messageOf(error)).join("; ");
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** TLS and passwords do not mend by themselves; the network does. */
function codeOfConnection(thrown: unknown): ErrorCode {
  const refused =
    /does not support SSL|SASL|password must be|certificate|no encryption|ENOENT.*open/i;
  return refused.test(messageOf(thrown)) ? "DATABASE_REFUSED" : "DATABASE_UNAVAILABLE";
}

/** By SQLSTATE class: PostgreSQL's manual, appendix A. */
function codeOfState(state: string): ErrorCode {
  if (/^(08|57P0)/.test(state) || state === "53300" || state === "40003" || state === "25006") {
    return "DATABASE_UNAVAILABLE";
  }
  if (/^(28|3D|3F)/.test(state) || state === "42501" || state === "42P01") {
    return "DATABASE_REFUSED";
  }
  if (state === "53100") return "DISK_FULL";
  if (/^XX00[12]$/.test(state)) return "CHANNEL_CORRUPT";
  return "DATABASE_FAILED";
}
