import { hostname } from "node:os";

/**
 * Who this source is among all sources of all agents: "logging/edge-7/edge/pods". A comma would end
 * the name in the header.
 */
export function identityOf(
  given: string | undefined,
  { agent, source = "" }: { readonly agent: string; readonly source?: string },
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const pod = environment["POD_NAME"] ?? "";
  const namespace = environment["POD_NAMESPACE"] ?? "";
  const host = pod === "" ? hostname() : `${namespace === "" ? "" : `${namespace}/`}${pod}`;
  return `${given ?? host}/${agent}/${source}`.replaceAll(",", "_");
}
