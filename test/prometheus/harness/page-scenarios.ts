import { createTcpProxy, freePort, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReceiver, createSender, type Stage } from "./stage.ts";

/** Events without a route are lost and counted; then the agent itself is killed. */
export async function loseEventsAndTheAgent(stage: Stage): Promise<void> {
  const port = await freePort();
  const agent = await stage.agent(
    "lossy",
    `${avroSource("lossy", port, "m")}
lossy.sources.in.selector.type = multiplexing
lossy.sources.in.selector.header = kind
lossy.sources.in.selector.mapping.log = m
lossy.channels.m.type = memory
lossy.sinks = k
lossy.sinks.k.type = null
lossy.sinks.k.channel = m
`,
  );
  const { instance } = agent;
  const sender = await createSender(stage.test, port);
  await scraped(stage, instance);
  await sender.send();
  assert.equal(sender.sent, 20);
  const alert = await stage.fires("MillraceEventsLost", { instance, reason: "unmatched_route" });
  assert.equal(alert.labels["severity"], "page");
  await stage.ends("MillraceEventsLost", { instance });

  agent.child().signal("SIGKILL");
  await stage.fires("MillraceAgentGone", { instance });
  await agent.start();
  await stage.ends("MillraceAgentGone", { instance });
}

/** Both next hops of a group go, one after the other, while events come in; then they return. */
export async function loseTheNextHops(stage: Stage): Promise<void> {
  const port = await freePort();
  const [one, two] = [await createReceiver(stage.test), await createReceiver(stage.test)];
  const agent = await stage.agent(
    "relay",
    `${avroSource("relay", port, "disk")}
relay.channels.disk.type = file
relay.channels.disk.dataDirs = ${join(stage.folder, "relay")}
relay.channels.disk.byteCapacity = 400000
relay.channels.disk.keep-alive = 0
relay.channels.disk.minimumRequiredSpace = 1000000
relay.sinks = k1 k2
${avroSink("relay", "k1", "disk", one.port)}
${avroSink("relay", "k2", "disk", two.port)}
relay.sinkgroups = g
relay.sinkgroups.g.sinks = k1 k2
relay.sinkgroups.g.processor.type = load_balance
relay.sinkgroups.g.processor.backoff = true
relay.sinkgroups.g.processor.selector.maxTimeOut = 1000
`,
  );
  const { instance } = agent;
  const sender = await createSender(stage.test, port);
  sender.run();
  await waitFor("both to get events", () => one.events > 0 && two.events > 0, 60_000);
  await scraped(stage, instance);

  await two.stop();
  await stage.fires("MillraceMemberDown", { instance, sink: "k2" });
  await one.stop();
  const ofChannel = { instance, component: "disk" };
  await Promise.all([
    stage.fires("MillraceNoPeer", { instance, group: "g" }),
    stage.fires("MillraceChannelStuck", ofChannel),
    stage.fires("MillraceFullWithinTheHour", ofChannel),
    stage.fires("MillraceTooOld", ofChannel),
  ]);

  await Promise.all([one.start(), two.start()]);
  await Promise.all([
    stage.ends("MillraceNoPeer", { instance }),
    stage.ends("MillraceMemberDown", { instance }),
    stage.ends("MillraceChannelStuck", ofChannel),
    stage.ends("MillraceTooOld", ofChannel),
    stage.ends("MillraceFullWithinTheHour", ofChannel),
  ]);
  await sender.stop();
  await waitFor("all that was accepted", () => one.events + two.events >= sender.sent, 60_000);
}

/** A file system of its own that something else fills. Returns why it cannot be had, or undefined. */
export async function fillTheDisk(stage: Stage): Promise<string | undefined> {
  const disk = await mkdtemp(join(tmpdir(), "millrace-disk-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256m", "tmpfs", disk]);
  stage.test.after(async () => {
    spawnSync("umount", ["-l", disk]);
    await rmdir(disk);
  });
  if (mounted.status !== 0) return `no tmpfs can be mounted here: ${String(mounted.stderr)}`;
  const port = await freePort();
  const agent = await stage.agent(
    "full",
    `${avroSource("full", port, "disk")}
full.channels.disk.type = file
full.channels.disk.dataDirs = ${join(disk, "channel")}
full.channels.disk.minimumRequiredSpace = 1000000
full.channels.disk.keep-alive = 0
full.sinks = k
full.sinks.k.type = null
full.sinks.k.channel = disk
`,
  );
  const { instance } = agent;
  const sender = await createSender(stage.test, port);
  sender.run();
  await waitFor("events to be accepted", () => sender.sent > 0, 60_000);
  await scraped(stage, instance);

  const filler = join(disk, "filler");
  const query = `millrace_file_channel_reserved_bytes{instance="${instance}"}`;
  const reserved = Number((await stage.prometheus.query(query))[0]?.value[1]);
  const { bavail, bsize } = await statfs(disk);
  await writeFile(filler, Buffer.alloc(bavail * bsize - reserved + 4_000_000, 1));
  await stage.fires("MillraceDiskTrouble", { instance, component: "disk" });
  await stage.fires("MillraceDiskTrouble", { instance, component: "disk", kind: "disk_full" });
  await rm(filler);
  await stage.ends("MillraceDiskTrouble", { instance });
  const before = sender.sent;
  await waitFor("events to be accepted again", () => sender.sent > before, 60_000);
  return undefined;
}

/** Something between an edge and its collector says OK and keeps nothing. */
export async function acknowledgeWithoutKeeping(stage: Stage): Promise<void> {
  const [edgePort, collectorPort] = [await freePort(), await freePort()];
  const liar = await createReceiver(stage.test);
  const cable = await createTcpProxy({ host: "127.0.0.1", port: liar.port });
  stage.test.after(() => cable.close());
  const collector = await stage.agent(
    "collector",
    `${avroSource("collector", collectorPort, "m")}
collector.channels.m.type = memory
collector.channels.m.capacity = 100000
collector.sinks = k
collector.sinks.k.type = null
collector.sinks.k.channel = m
`,
    "collector",
  );
  const edge = await stage.agent(
    "edge",
    `${avroSource("edge", edgePort, "m")}
edge.channels.m.type = memory
edge.channels.m.capacity = 100000
edge.sinks = near
${avroSink("edge", "near", "m", cable.port)}
`,
    "edge",
  );
  await scraped(stage, collector.instance);
  await scraped(stage, edge.instance);
  const sender = await createSender(stage.test, edgePort);
  sender.run();
  const cluster = stage.folder;
  await stage.fires("MillraceHopImbalance", { cluster });
  assert.ok(liar.events > 1000);
  cable.setTarget({ host: "127.0.0.1", port: collectorPort });
  cable.cut();
  await stage.ends("MillraceHopImbalance", { cluster });
}

/** Waits until Prometheus has the agent's metrics, so that what follows is seen to change. */
export async function scraped(stage: Stage, instance: string): Promise<void> {
  const series = `count_over_time(millrace_config_generation{instance="${instance}"}[1m]) > 2`;
  await waitFor(
    `a scrape of ${instance}`,
    async () => (await stage.prometheus.query(series)).length > 0,
    60_000,
  );
}

export function avroSource(agent: string, port: number, channel: string): string {
  return `
${agent}.sources = in
${agent}.channels = ${channel}
${agent}.sources.in.type = avro
${agent}.sources.in.bind = 127.0.0.1
${agent}.sources.in.port = ${port}
${agent}.sources.in.channels = ${channel}`;
}

export function avroSink(agent: string, sink: string, channel: string, port: number): string {
  return `
${agent}.sinks.${sink}.type = avro
${agent}.sinks.${sink}.channel = ${channel}
${agent}.sinks.${sink}.hostname = 127.0.0.1
${agent}.sinks.${sink}.port = ${port}
${agent}.sinks.${sink}.request-timeout = 4000`;
}
