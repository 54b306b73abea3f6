import { errorTable, type Log, MillraceError } from "@millrace/core";
import type { Failure } from "./runnable.ts";

/** Says what happened and what to do; gives the error with the component's title before it. */
export function reportFailure({ title, error }: Failure, what: string, log: Log): MillraceError {
  const { code, message } = error;
  log.error(`${title} ${what}: ${code} ${message}`, { todo: todoOf(error), error });
  return new MillraceError(code, `${title} ${what}: ${message}`, { cause: error });
}

export function todoOf({ code }: MillraceError): string {
  return errorTable[code].todo;
}
