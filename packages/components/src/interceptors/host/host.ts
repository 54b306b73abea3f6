import type { ComponentContext, HeaderEdits } from "@millrace/core";
import type { Options } from "./options.ts";
import { createThisHost, type ThisHost } from "./this-host.ts";

/**
 * Sets the header to this host's address or name, found once. A host that cannot be found out is
 * no reason not to start: the header is not set then, and a warning says so.
 */
export async function createHostInterceptor(
  { hostHeader, useIP, preserveExisting }: Options,
  { log, runtime }: ComponentContext,
  thisHost: ThisHost = createThisHost(runtime.clock),
): Promise<HeaderEdits> {
  try {
    const value = useIP ? thisHost.address() : await thisHost.name();
    const edits = [{ name: hostHeader, value, preserveExisting }];
    return { edits: () => edits };
  } catch (error) {
    log.warn(`this host's ${useIP ? "address" : "name"} is unknown: ${hostHeader} is not set`, {
      error: String(error),
    });
    return { edits: () => [] };
  }
}
