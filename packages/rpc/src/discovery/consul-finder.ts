import { type Clock, type FileSystem, MillraceError } from "@millrace/core";
import { type ConsulClient, openConsulClient } from "./consul-client.ts";
import { type ConsulSettings, type Environment, readConsulSettings } from "./consul-settings.ts";
import type { ConsulAddress } from "./host-address.ts";
import type { HostFinder } from "./host-finder.ts";
import type { Host } from "./host-list.ts";

export interface ConsulFinderOptions {
  readonly clock: Clock;
  readonly files?: FileSystem;
  readonly environment?: Environment;
}

/** An index that moves for others' reasons must not make a busy loop of us. */
const pauseMs = 250;
const retryMaxMs = 30_000;

/**
 * The instances of a service, by blocking questions: the first is answered at once, each further
 * one when something is newer than the last answer's index. The rules for that index are Consul's:
 * one that goes backwards, or is 0, is forgotten, and so it is after an error.
 */
export function openConsulFinder(
  address: ConsulAddress,
  { clock, files, environment }: ConsulFinderOptions,
  open: (settings: ConsulSettings, clock: Clock) => Promise<ConsulClient> = openConsulClient,
): HostFinder {
  const { service, tags, passing, near, datacenter, waitMs, agent, tokenFile } = address;
  const settings = readConsulSettings({
    ...(agent === undefined ? {} : { agent }),
    ...(tokenFile === undefined ? {} : { tokenFile }),
    ...(files === undefined ? {} : { files }),
    ...(environment === undefined ? {} : { environment }),
  });
  const asked = `Consul at ${settings.agent}`;
  let client: ConsulClient | undefined;
  let index: bigint | undefined;

  async function ask(giveUp: AbortSignal): Promise<readonly Host[]> {
    client ??= await open(settings, clock);
    const question = {
      service,
      tags,
      passing,
      waitMs,
      ...(near === undefined ? {} : { near }),
      ...(datacenter === undefined ? {} : { datacenter }),
      ...(index === undefined ? {} : { index }),
    };
    const { instances, index: next, filtered } = await client.instances(question, giveUp);
    index = next === 0n || (index !== undefined && next < index) ? undefined : next;
    if (instances.length > 0) {
      return instances.map(({ address: host, port, weight }) => ({ host, port, weight }));
    }
    const hidden = filtered ? "; the token may not see all there is" : "";
    throw new MillraceError(
      "DISCOVERY_FAILED",
      `${asked} names no ${passing ? "passing " : ""}instance of ${service}${hidden}`,
      { context: { answered: index !== undefined } },
    );
  }

  return {
    asked,
    ordered: near !== undefined,
    pauseMs,
    retryMaxMs,
    async find(giveUp) {
      try {
        return await ask(giveUp);
      } catch (error) {
        const answered = error instanceof MillraceError && error.context["answered"] === true;
        if (!answered) index = undefined;
        throw error;
      }
    },
    close() {
      client?.close();
      client = undefined;
    },
  };
}
