import { type Lifecycle, type MillraceError, toMillraceError } from "@millrace/core";
import type { Place } from "../config/problem.ts";

/** One thing that the agent starts and stops. */
export interface Runnable {
  /** `source r1 (avro, flume.conf:4)` */
  readonly title: string;
  readonly name: string;
  readonly lifecycle: Lifecycle;
}

/** A component that could not be made or started. */
export interface Failure {
  readonly title: string;
  readonly name: string;
  readonly error: MillraceError;
}

export function titleOf(kind: string, name: string, type: string, place: Place): string {
  const where = place.file === "" ? "" : `, ${place.file}:${place.line}`;
  return `${kind} ${name} (${type}${where})`;
}

export function failureOf(
  { title, name }: Pick<Runnable, "title" | "name">,
  thrown: unknown,
): Failure {
  return { title, name, error: toMillraceError(thrown) };
}
