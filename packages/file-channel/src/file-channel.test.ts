import { channelContext, channelContract, createFakeClock, tempDirectory } from "@millrace/testing";
import { systemRuntime } from "@millrace/core";
import { join } from "node:path";
import { createFileChannel } from "./file-channel.ts";

channelContract("file channel", async (limits, test) => {
  const clock = createFakeClock();
  const context = channelContext({ runtime: { ...systemRuntime, clock } });
  const { capacity, transactionCapacity, keepAliveMs } = limits;
  const channel = createFileChannel(
    {
      dataDirs: [join(await tempDirectory(test), "data")],
      capacity,
      transactionCapacity,
      keepAliveMs,
      minimumRequiredSpaceBytes: 1024 * 1024,
    },
    context,
  );
  return { channel, clock, counters: context.counters };
});
