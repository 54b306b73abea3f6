import { type HostValues, ownAddress, readHosts } from "@millrace/rpc";

/** Where the values of a sink's options say its next hops are; all may be absent. */
export interface SinkHostValues extends Partial<
  Pick<HostValues, "clientType" | "hosts" | "hostAddresses">
> {
  readonly hostname?: string | undefined;
  readonly port?: number | undefined;
}

/** Reads them: `hosts` overrides `hostname`, as in Flume. Never throws. */
export function readSinkHosts(values: SinkHostValues): ReturnType<typeof readHosts> {
  const { clientType, hosts = [], hostAddresses = new Map<string, string>() } = values;
  const { hostname, port } = values;
  const own = hostname === undefined ? undefined : ownAddress(hostname, port);
  const read = readHosts({ clientType, hosts, hostAddresses }, own);
  if (hosts.length > 0 || hostAddresses.size > 0) return read;
  if (hostname === undefined) {
    return { ...read, problems: [{ key: "hostname", message: "is required, or hosts" }] };
  }
  // Only of addresses that say it themselves, such as SRV's, the port is not asked for.
  const needsPort = port === undefined && read.problems.some(({ key }) => key === "hostname");
  return needsPort ? { ...read, problems: [{ key: "port", message: "is required" }] } : read;
}
