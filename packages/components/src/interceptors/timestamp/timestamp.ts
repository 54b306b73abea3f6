import type { ComponentContext, HeaderEdits } from "@millrace/core";
import type { Options } from "./options.ts";

/** Sets the header to the clock's milliseconds, read once per batch. */
export function createTimestampInterceptor(
  { headerName, preserveExisting }: Options,
  { runtime }: ComponentContext,
): HeaderEdits {
  return {
    edits: () => [{ name: headerName, value: String(runtime.clock.now()), preserveExisting }],
  };
}
