/** Kubernetes' own servers for one test, on loopback: everything but nodes. */
import { type Child, createTestAuthority, freePort, startChild, tempDirectory, waitFor } from "@millrace/testing"; // prettier-ignore
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type ApiClient, createApiClient } from "./api-client.ts";
import type { Binaries } from "./programs.ts";

export interface ControlPlane {
  /** Of the API server, the same in all its lives. */
  readonly port: number;
  /** The authority of its certificate. */
  readonly caFile: string;
  /** With all rights. */
  readonly api: ApiClient;
  /** A token of a service account, as kubelet asks for one. */
  tokenOf(namespace: string, account: string): Promise<string>;
  /** Helm, or kubectl, with all rights. Says what it printed; fails when it ends with an error. */
  run(program: "helm" | "kubectl", ...words: string[]): Promise<string>;
  /** The same where it is to fail. */
  fails(program: "helm" | "kubectl", ...words: string[]): Promise<string>;
  /** The API server, at once. What it stored is there when it starts anew. */
  killApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
}

const adminToken = "the-admins";

export async function startControlPlane(t: TestContext, binaries: Binaries): Promise<ControlPlane> {
  const folder = await tempDirectory(t);
  const inFolder = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  };
  const [port, etcdPort, peerPort] = [await freePort(), await freePort(), await freePort()];
  const authority = createTestAuthority("kubernetes");
  const hosts = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
  const own = authority.issue({ commonName: "kube-apiserver", hosts });
  const accounts = authority.issue({ commonName: "service accounts", keyType: "rsa" });
  const caFile = await inFolder("ca.crt", authority.certificatePem);
  const accountKey = await inFolder("accounts.key", accounts.keyPem);
  const words = {
    etcd: [
      ...["--data-dir", join(folder, "etcd"), "--log-level", "error", "--unsafe-no-fsync"],
      ...[`--listen-client-urls=http://127.0.0.1:${etcdPort}`],
      ...[`--advertise-client-urls=http://127.0.0.1:${etcdPort}`],
      ...[`--listen-peer-urls=http://127.0.0.1:${peerPort}`],
    ],
    apiServer: [
      ...[`--etcd-servers=http://127.0.0.1:${etcdPort}`, "--endpoint-reconciler-type=none"],
      ...["--bind-address=127.0.0.1", `--secure-port=${port}`, `--cert-dir=${folder}`],
      `--tls-cert-file=${await inFolder("server.crt", own.chainPem)}`,
      `--tls-private-key-file=${await inFolder("server.key", own.keyPem)}`,
      `--token-auth-file=${await inFolder("tokens.csv", `${adminToken},admin,1,system:masters\n`)}`,
      ...["--authorization-mode=RBAC", "--allow-privileged"],
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      `--service-account-key-file=${accountKey}`,
      `--service-account-signing-key-file=${accountKey}`,
      "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
    ],
  };
  const kubeconfig = await inFolder("kubeconfig", configurationFor(port, caFile));
  // Nodes are played: nobody says every few seconds that they live.
  const patience = ["--node-monitor-grace-period=2h", "--node-startup-grace-period=3h"];
  const client = [`--kubeconfig=${kubeconfig}`, "--leader-elect=false", "--secure-port=0"];

  startChild(t, { command: [binaries.etcd, ...words.etcd], cwd: folder });
  const api = createApiClient(port, authority.certificatePem, adminToken);
  let server: Child | undefined;
  const startApiServer = async (): Promise<void> => {
    const child = startChild(t, { command: [binaries.apiServer, ...words.apiServer], cwd: folder });
    server = child;
    const isReady = async (): Promise<boolean> => {
      assert.equal(child.exit, undefined, child.output());
      const answer = await api.send("GET", "/readyz").catch(() => undefined);
      return answer?.status === 200;
    };
    await waitFor("the API server to be ready", isReady, 90_000).catch((error: Error) =>
      assert.fail(`${error.message}:\n${child.output()}`),
    );
  };
  await startApiServer();
  startChild(t, {
    command: [
      ...[binaries.controllerManager, ...client, ...patience, `--root-ca-file=${caFile}`],
      ...["--pvclaimbinder-sync-period=1s", "--horizontal-pod-autoscaler-sync-period=5s"],
    ],
    cwd: folder,
  });
  startChild(t, { command: [binaries.scheduler, ...client], cwd: folder });

  const ends = async (program: "helm" | "kubectl", given: readonly string[]) => {
    const environment = { KUBECONFIG: kubeconfig, HOME: folder };
    const child = startChild(t, { command: [binaries[program], ...given], environment });
    const { code } = await child.exited(180_000);
    return { code, output: child.output(), said: `${program} ${given.join(" ")}` };
  };

  return {
    ...{ port, caFile, api, startApiServer },
    async tokenOf(namespace, account) {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
      const { status } = await api.create(path, { spec: { expirationSeconds: 3600 } });
      assert.ok(status?.token !== undefined);
      return status.token;
    },
    async run(program, ...given) {
      const { code, output, said } = await ends(program, given);
      assert.equal(code, 0, `${said}:\n${output}`);
      return output;
    },
    async fails(program, ...given) {
      const { code, output, said } = await ends(program, given);
      assert.notEqual(code, 0, `${said}:\n${output}`);
      return output;
    },
    async killApiServer() {
      server?.signal("SIGKILL");
      await server?.exited();
    },
  };
}

const configurationFor = (port: number, caFile: string): string => `
apiVersion: v1
kind: Config
clusters:
  - { name: c, cluster: { server: "https://127.0.0.1:${port}", certificate-authority: ${caFile} } }
users:
  - { name: u, user: { token: ${adminToken} } }
contexts:
  - { name: x, context: { cluster: c, user: u, namespace: default } }
current-context: x
`;
