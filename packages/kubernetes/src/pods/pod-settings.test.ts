import { optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { interceptor } from "../interceptors/kubernetes/index.ts";
import { source } from "../sources/kubernetes/index.ts";
import { checkPodOptions, podOptions, podSettings } from "./pod-settings.ts";

const cases = [
  {
    name: "a pod's environment says where the API server is, and which node it is on",
    environment: { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "6443", NODE_NAME: "n1" }, // prettier-ignore
    want: ["https://10.96.0.1:6443", "n1"],
  },
  {
    name: "an IPv6 address is written as one, and 443 is the port",
    environment: { KUBERNETES_SERVICE_HOST: "fd00::1" },
    want: ["https://[fd00::1]:443", undefined],
  },
  {
    name: "what is configured comes first",
    environment: { KUBERNETES_SERVICE_HOST: "10.96.0.1", NODE_NAME: "n1" },
    given: { apiServer: "https://api.example.org", nodeName: "n2" },
    want: ["https://api.example.org", "n2"],
  },
  {
    name: "outside of a cluster nothing is known",
    environment: { KUBERNETES_SERVICE_HOST: "", NODE_NAME: "" },
    want: [undefined, undefined],
  },
];

for (const { name, environment, given = {}, want } of cases) {
  void test(name, () => {
    const values = optionsOf(podOptions, given as Record<string, string>);
    const { apiServer, nodeName } = podSettings(values, environment);
    assert.deepEqual([apiServer, nodeName], want);
  });
}

for (const [address, good] of [
  ["https://10.96.0.1:443", true],
  ["http://127.0.0.1:8001", true],
  ["10.96.0.1:443", false],
  ["ftp://10.96.0.1", false],
] as const) {
  void test(`${address} is ${good ? "" : "not "}taken for an API server's address`, () => {
    const values = optionsOf(podOptions, { apiServer: address });
    assert.equal(checkPodOptions(values).length, good ? 0 : 1);
  });
}

void test("source and interceptor are told of an API server's address that is none before they start", () => {
  const given = { apiServer: "10.96.0.1:443" };
  const problems = [
    ...(source.check?.(optionsOf(source.options, given)) ?? []),
    ...(interceptor.check?.(optionsOf(interceptor.options, given)) ?? []),
  ];
  assert.deepEqual(
    problems.map(({ key }) => key),
    ["apiServer", "apiServer"],
  );
});
