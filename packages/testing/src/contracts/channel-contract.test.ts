import { createChannelCounters } from "@millrace/core";
import { createFakeClock } from "../runtime/fake-clock.ts";
import { createArrayChannel } from "./array-channel.ts";
import { channelContract } from "./channel-contract.ts";

channelContract("the array channel", (limits) => {
  const clock = createFakeClock();
  const counters = createChannelCounters();
  return { channel: createArrayChannel(clock, { ...limits, counters }), clock, counters };
});
