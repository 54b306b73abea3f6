/** docker-compose.yml as processes of this machine: what each is started with, in plain data. */
import { basename, join, resolve } from "node:path";
import type { ComposeService } from "./compose-file.ts";

export type Role = "agent" | "consul" | "prometheus" | "other";

export interface PlannedProcess {
  readonly name: string;
  readonly role: Role;
  readonly folder: string;
  /** What follows the program. */
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** To be copied with `rewrite` applied to their text: from, to. */
  readonly copies: readonly (readonly [string, string])[];
  /** To be made when they are not there. */
  readonly folders: readonly string[];
  readonly rewrite: (text: string) => string;
  /** Its ports by those of its container. */
  readonly ports: ReadonlyMap<number, number>;
}

export interface PlanOptions {
  /** Where docker-compose.yml is. */
  readonly project: string;
  /** Everything that is written is below it. */
  readonly state: string;
  /** The port to use for a published one: the same, or a free one. */
  readonly port: (published: number) => number;
}

/** Configurations of ours that are mounted: their paths and addresses are rewritten in a copy. */
const isConfiguration = (source: string): boolean => source.startsWith("./deploy/");

/**
 * Mounts become folders: a named volume is `state/<volume>`, a mounted configuration is copied to
 * `state/<service>/...` with each container's path replaced by its place here, and each
 * `service:port` by the published port on loopback. Other mounted folders are used as they are.
 */
export function planProcesses(
  services: readonly ComposeService[],
  { project, state, port }: PlanOptions,
): PlannedProcess[] {
  const ports = new Map(
    services.map((service) => [
      service.name,
      new Map(service.ports.map(({ host, container }) => [container, port(host)])),
    ]),
  );
  const addresses = [...ports].flatMap(([name, own]) =>
    [...own].map(([container, here]) => [`${name}:${container}`, `127.0.0.1:${here}`] as const),
  );
  return services.map((service) => {
    const folder = join(state, service.name);
    const places = new Map<string, string>();
    const copies: [string, string][] = [];
    const folders = [folder];
    for (const { source, target } of service.mounts) {
      if (isConfiguration(source)) {
        const place = join(folder, "mounted", basename(target));
        copies.push([resolve(project, source), place]);
        places.set(target, place);
      } else if (/^[./]/.test(source)) {
        places.set(target, resolve(project, source));
      } else {
        places.set(target, join(state, "volumes", source));
        folders.push(join(state, "volumes", source));
      }
    }
    for (const target of service.tmpfs.filter((each) => each !== "/tmp")) {
      places.set(target, join(folder, basename(target)));
      folders.push(join(folder, basename(target)));
    }
    const rewrite = rewriter([...places, ...addresses]);
    const own = ports.get(service.name) ?? new Map<number, number>();
    const role = roleOf(service.image);
    return {
      name: service.name,
      role,
      folder,
      words: [...service.command.map(rewrite), ...ownWords(role, own, port)],
      environment: { ...service.environment, ...ownEnvironment(role, own) },
      copies,
      folders,
      rewrite,
      ports: own,
    };
  });
}

/** A fixed list of collectors instead of Consul's, behind the text of a configuration that asks Consul. */
export function withFixedCollectors(text: string, addresses: readonly string[]): string {
  const sink = /^(\w+\.sinks\.\w+)\.hostname\s*=\s*consul:.*$/m.exec(text)?.[1];
  const lines = text.split("\n").filter((line) => !/\.consul\.|=\s*consul:/.test(line));
  if (sink === undefined) return lines.join("\n");
  return [
    ...lines,
    "# compose:local without Consul: a fixed list.",
    `${sink}.hosts = ${addresses.map((_, index) => `c${index + 1}`).join(" ")}`,
    ...addresses.map((address, index) => `${sink}.hosts.c${index + 1} = ${address}`),
    "",
  ].join("\n");
}

/** Each text for its replacement where it stands as a whole; the longest first. */
function rewriter(pairs: readonly (readonly [string, string])[]): (text: string) => string {
  const table = new Map(pairs);
  const sorted = [...table.keys()].sort((a, b) => b.length - a.length);
  if (sorted.length === 0) return (text) => text;
  const escaped = sorted.map((each) => each.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(?<![\\w.-])(${escaped.join("|")})(?![\\w-])`, "g");
  return (text) => text.replace(pattern, (_, found: string) => table.get(found) ?? found);
}

function roleOf(image: string): Role {
  if (image.startsWith("hashicorp/consul:")) return "consul";
  if (image.startsWith("prom/prometheus:")) return "prometheus";
  return /(^|\/)millrace:/.test(image) ? "agent" : "other";
}

/** Behind the container's own words, where the later wins: on loopback, on the published ports. */
function ownWords(
  role: Role,
  ports: ReadonlyMap<number, number>,
  port: PlanOptions["port"],
): string[] {
  switch (role) {
    case "agent":
      return [`-Dflume.monitoring.port=${ports.get(41414)}`];
    case "consul": {
      const off = ["dns", "grpc", "grpc-tls", "serf-wan"].map((name) => `-${name}-port=-1`);
      // The latter two are not published, as nothing but Consul itself uses them.
      const own = [`-http-port=${ports.get(8500)}`, `-server-port=${port(8300)}`];
      const loopback = ["-bind=127.0.0.1", "-client=127.0.0.1"];
      return [...loopback, ...own, `-serf-lan-port=${port(8301)}`, ...off];
    }
    case "prometheus":
      return [`--web.listen-address=127.0.0.1:${ports.get(9090)}`];
    case "other":
      return [];
  }
}

function ownEnvironment(role: Role, ports: ReadonlyMap<number, number>): Record<string, string> {
  const port = ports.get(4141);
  if (role !== "agent" || port === undefined) return {};
  return {
    COLLECTOR_BIND: "127.0.0.1",
    COLLECTOR_PORT: String(port),
    COLLECTOR_ADDRESS: "127.0.0.1",
  };
}
