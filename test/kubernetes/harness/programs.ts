/** Kubernetes itself but for what runs containers: one Go module, whose packages are compiled once for all of them. */
import type { TestContext } from "node:test";
import { findGoProgram, type GoProgram } from "../../harness/go-program.ts";
import { helmProgram } from "../../harness/go-programs.ts";

const version = "1.37.2";
const etcdVersion = "3.7.0";
const [major = "", minor = ""] = version.split(".");

/** The module names its own parts without a version, and replaces them by folders that only its repository has. */
const parts =
  "api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator " +
  "component-base component-helpers controller-manager cri-api cri-client cri-streaming csi-translation-lib " +
  "dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy " +
  "kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver sample-cli-plugin " +
  "sample-controller streaming";

const goModule = [
  `require k8s.io/kubernetes v${version}`,
  `require go.etcd.io/etcd/server/v3 v${etcdVersion}`,
  ...parts
    .split(" ")
    .map((name) => `replace k8s.io/${name} => k8s.io/${name} v0${version.slice(1)}`),
].join("\n");

function ofKubernetes(name: string): GoProgram {
  return {
    ...{ name, version, goModule, goNeeded: [1, 26] },
    variable: `MILLRACE_${name.toUpperCase().replaceAll("-", "_")}`,
    packagePath: `k8s.io/kubernetes/cmd/${name}`,
    // Without them it says that it is 0.0.0, and no chart is for that.
    variables: {
      "k8s.io/component-base/version.gitVersion": `v${version}`,
      "k8s.io/component-base/version.gitMajor": major,
      "k8s.io/component-base/version.gitMinor": minor,
    },
  };
}

const etcd: GoProgram = {
  ...{ name: "etcd", version: etcdVersion, goModule, goNeeded: [1, 26] },
  variable: "MILLRACE_ETCD",
  packagePath: "go.etcd.io/etcd/server/v3",
};

const programs = {
  etcd,
  apiServer: ofKubernetes("kube-apiserver"),
  controllerManager: ofKubernetes("kube-controller-manager"),
  scheduler: ofKubernetes("kube-scheduler"),
  kubectl: ofKubernetes("kubectl"),
  helm: helmProgram,
} satisfies Record<string, GoProgram>;

export type Binaries = Readonly<Record<keyof typeof programs, string>>;

export const clusterPrograms: readonly GoProgram[] = Object.values(programs);

/** All of them, or undefined when the test is marked as skipped. */
export function findBinaries(context: TestContext): Binaries | undefined {
  const found = Object.entries(programs).map(([key, program]) => [
    key,
    findGoProgram(context, program),
  ]);
  if (found.some(([, path]) => path === undefined)) return undefined;
  return Object.fromEntries(found) as Binaries;
}
