import { readSinkHosts, type SinkHostValues } from "./sink-hosts.ts";

/** Why a sink's batches may overtake each other on their way, for `check`; undefined when none can. */
export function breaksOrder(
  values: SinkHostValues & { readonly batchesInFlight?: number | undefined },
): string | undefined {
  const { batchesInFlight = 1 } = values;
  if (batchesInFlight > 1) return `it has up to ${batchesInFlight} batches in flight`;
  const { type } = readSinkHosts(values);
  return type === "default_loadbalance" ? "its batches go to several hosts in turn" : undefined;
}
