import type { HeaderEdits } from "@millrace/core";
import type { Options } from "./options.ts";

/** Sets the same header to the same value on every event. */
export function createStaticInterceptor({ key, value, preserveExisting }: Options): HeaderEdits {
  const edits = [{ name: key, value, preserveExisting }];
  return { edits: () => edits };
}
