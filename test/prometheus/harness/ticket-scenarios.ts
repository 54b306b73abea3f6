import { createTestAuthority, freePort, placeFile, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { avroSink, avroSource, scraped } from "./page-scenarios.ts";
import { createReceiver, createSender, type Stage, type StagedAgent } from "./stage.ts";

const tiny = (capacity: number): string => `
twin.sources = in
twin.channels = m
twin.sinks = k
twin.sources.in.type = spooldir
twin.sources.in.spoolDir = SPOOL
twin.sources.in.channels = m
twin.channels.m.type = memory
twin.channels.m.capacity = ${capacity}
twin.sinks.k.type = null
twin.sinks.k.channel = m
`;

/** Two agents of one name: other files, a broken file, and a process that gets no CPU. */
export async function confuseTwins(stage: Stage): Promise<void> {
  const spool = join(stage.folder, "spool");
  await mkdir(spool);
  const conf = (capacity: number): string => tiny(capacity).replace("SPOOL", spool);
  const one = await stage.agent("twin", conf(1000));
  const two = await stage.agent("twin", conf(2000));
  await scraped(stage, one.instance);
  await scraped(stage, two.instance);
  const cluster = stage.folder;
  await stage.fires("MillraceMixedConfig", { cluster, agent: "twin" });
  await configure(two, conf(1000));
  await stage.ends("MillraceMixedConfig", { cluster });

  const { instance } = two;
  await configure(two, conf(1000).replace("type = memory", "type = memoir"));
  await stage.fires("MillraceReloadFailed", { instance });
  await configure(two, conf(1000));
  await stage.ends("MillraceReloadFailed", { instance });

  const stopping = starve(one);
  await stage.fires("MillraceEventLoopLag", { instance: one.instance });
  await stopping.stop();
  await stage.ends("MillraceEventLoopLag", { instance: one.instance });
}

async function configure(agent: StagedAgent, text: string): Promise<void> {
  await placeFile(agent.configFile, text);
  agent.child().signal("SIGHUP");
}

/** Halts the process again and again for half a second, as a limit on CPU does. */
function starve(agent: StagedAgent): { stop(): Promise<void> } {
  let stopping = false;
  const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
  const running = (async () => {
    while (!stopping) {
      agent.child().signal("SIGSTOP");
      await wait(400);
      agent.child().signal("SIGCONT");
      await wait(200);
    }
  })();
  return {
    async stop() {
      stopping = true;
      await running;
    },
  };
}

/** A certificate that ends soon, a next hop that fails every tenth request, and a file that is no text. */
export async function ageAndRefuse(stage: Stage): Promise<void> {
  const port = await freePort();
  const spool = join(stage.folder, "spool");
  await mkdir(spool);
  const authority = createTestAuthority();
  const certificateFile = join(stage.folder, "tls.crt");
  const renew = async (days: number): Promise<void> => {
    const { chainPem, keyPem } = authority.issue({ commonName: "collector", validToDays: days });
    await placeFile(certificateFile, keyPem + chainPem);
  };
  await renew(5);
  const receiver = await createReceiver(stage.test);
  const agent = await stage.agent(
    "worn",
    `${avroSource("worn", port, "m")}
worn.sources = in tls files
worn.sources.tls.type = avro
worn.sources.tls.bind = 127.0.0.1
worn.sources.tls.port = ${await freePort()}
worn.sources.tls.channels = m
worn.sources.tls.ssl = true
worn.sources.tls.keystore = ${certificateFile}
worn.sources.tls.keystore-type = PEM
worn.sources.files.type = spooldir
worn.sources.files.spoolDir = ${spool}
worn.sources.files.channels = m
worn.sources.files.decodeErrorPolicy = FAIL
worn.channels.m.type = memory
worn.channels.m.capacity = 100000
worn.sinks = k
${avroSink("worn", "k", "m", receiver.port)}
worn.sinks.k.batch-size = 20
`,
  );
  const { instance } = agent;
  await scraped(stage, instance);
  const sender = await createSender(stage.test, port);
  receiver.failing = 40;
  sender.run();
  const text = join(spool, "no-text.log");
  await placeFile(text, Buffer.from([0x61, 0xff, 0xfe, 0xc3, 0x28, 0x0a]));

  await Promise.all([
    stage.fires("MillraceCertificateExpiry", { instance, use: "server" }),
    stage.fires("MillraceRejected", { instance, component: "files" }),
    stage.fires("MillraceRetries", { instance, component: "k" }),
  ]);
  await rm(text);
  receiver.failing = 0;
  await renew(90);
  await Promise.all([
    stage.ends("MillraceCertificateExpiry", { instance, use: "server" }),
    stage.ends("MillraceRejected", { instance }),
    stage.ends("MillraceRetries", { instance }),
  ]);
}

/** A direct channel whose store answers after the senders were told to send again, and then not at all. */
export async function answerTooLate(stage: Stage): Promise<void> {
  const port = await freePort();
  const receiver = await createReceiver(stage.test);
  const agent = await stage.agent(
    "direct",
    `${avroSource("direct", port, "d")}
direct.channels.d.type = direct
direct.channels.d.keep-alive = 1
direct.channels.d.answerTimeout = 1
direct.sinks = k
${avroSink("direct", "k", "d", receiver.port)}
`,
  );
  const { instance } = agent;
  const sender = await createSender(stage.test, port);
  sender.run();
  await waitFor("events to arrive", () => receiver.events > 0, 60_000);
  await scraped(stage, instance);
  receiver.delayMs = 1500;
  await stage.fires("MillraceDuplicates", { instance, component: "d" });
  await receiver.stop();
  await stage.fires("MillraceChannelStuck", { instance, component: "d" });
  receiver.delayMs = 0;
  await receiver.start();
  await stage.ends("MillraceChannelStuck", { instance });
  await stage.ends("MillraceDuplicates", { instance });
  await sender.stop();
  assert.ok(receiver.events >= sender.sent, "what was acknowledged has arrived");
}
