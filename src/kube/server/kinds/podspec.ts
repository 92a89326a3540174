/** The specification of pods, which workloads use as their template. */
import type { JsonObject } from "../json.ts";
import { isObject, type Json, listAt, textAt } from "../json.ts";
import {
  bool,
  int,
  list,
  listBy,
  long,
  of,
  oneOf,
  opaque,
  quantities,
  quantity,
  selector,
  str,
  strings,
  struct,
} from "../schema/schema.ts";
import { container, ephemeralContainer, resources } from "./container.ts";
import { labelSelector, localReference, objectMeta } from "./meta.ts";

const core = "io.k8s.api.core.v1";

const source = (what: string) => opaque(`${what}: kept as it is.`);

const keyToPath = struct(
  `${core}.KeyToPath`,
  "A key as a file.",
  { key: str("The key."), path: str("Path of the file in the volume."), mode: int("Permissions of the file.") },
  { required: ["key", "path"] },
);

const keys = {
  items: list(keyToPath, "Which keys, and where; all of them unless given."),
  defaultMode: int("Permissions of the files.", 0o644),
  optional: bool("True if it may be missing."),
};

const volume = struct(
  `${core}.Volume`,
  "A directory that containers can see. One of the members besides name says where it comes from.",
  {
    name: str("Name, unique in the pod."),
    emptyDir: of(
      struct(`${core}.EmptyDirVolumeSource`, "An empty directory.", {
        medium: str("Memory, or empty for the node's disk."),
        sizeLimit: quantity("How much it may hold."),
      }),
      "An empty directory that lives as long as the pod.",
    ),
    hostPath: of(
      struct(
        `${core}.HostPathVolumeSource`,
        "A path of the node.",
        { path: str("The path."), type: str("What must be there: Directory, File, Socket and others.", "") },
        { required: ["path"] },
      ),
      "A path of the node.",
    ),
    configMap: of(
      struct(`${core}.ConfigMapVolumeSource`, "A ConfigMap.", { name: str("Name of the ConfigMap."), ...keys }),
      "The keys of a ConfigMap as files.",
    ),
    secret: of(
      struct(`${core}.SecretVolumeSource`, "A Secret.", { secretName: str("Name of the Secret."), ...keys }),
      "The keys of a Secret as files.",
    ),
    downwardAPI: opaque("Fields of the pod as files."),
    projected: opaque("Several of these in one directory."),
    persistentVolumeClaim: source("A claim"),
    csi: source("A CSI volume"),
    ephemeral: source("A claim of the pod's own"),
    image: source("The content of an image"),
    nfs: source("An NFS export"),
    iscsi: source("An iSCSI disk"),
    fc: source("A Fibre Channel disk"),
    gitRepo: source("A git repository"),
    glusterfs: source("A GlusterFS volume"),
    rbd: source("A RADOS block device"),
    cephfs: source("A CephFS path"),
    cinder: source("A Cinder disk"),
    flexVolume: source("A flex volume"),
    flocker: source("A Flocker volume"),
    awsElasticBlockStore: source("An AWS disk"),
    azureDisk: source("An Azure disk"),
    azureFile: source("An Azure file share"),
    gcePersistentDisk: source("A GCE disk"),
    photonPersistentDisk: source("A Photon disk"),
    portworxVolume: source("A Portworx volume"),
    quobyte: source("A Quobyte volume"),
    scaleIO: source("A ScaleIO volume"),
    storageos: source("A StorageOS volume"),
    vsphereVolume: source("A vSphere disk"),
  },
  { required: ["name"], retainKeys: true },
);

const toleration = struct(`${core}.Toleration`, "Lets the pod run on nodes with a taint.", {
  key: str("Key of the taint; empty for every key."),
  operator: str("Exists or Equal."),
  value: str("Value of the taint, for Equal."),
  effect: str("Effect of the taint; empty for every effect."),
  tolerationSeconds: long("Seconds for which a NoExecute taint is borne."),
});

const spread = struct(
  `${core}.TopologySpreadConstraint`,
  "How pods spread over zones, nodes and the like.",
  {
    topologyKey: str("Label of nodes that tells one place from another."),
    maxSkew: int("By how many pods places may differ."),
    whenUnsatisfiable: str("DoNotSchedule or ScheduleAnyway."),
    labelSelector: of(labelSelector, "The pods that count."),
    matchLabelKeys: strings("Labels of the pod that narrow the selector."),
    minDomains: int("Places that there must be."),
    nodeAffinityPolicy: str("Whether nodes that the pod cannot use count."),
    nodeTaintsPolicy: str("Whether tainted nodes count."),
  },
  { required: ["maxSkew", "topologyKey", "whenUnsatisfiable"] },
);

const hostAlias = struct(
  `${core}.HostAlias`,
  "A line of /etc/hosts.",
  { ip: str("Address."), hostnames: strings("Names.") },
  { required: ["ip"] },
);

const dnsConfig = struct(`${core}.PodDNSConfig`, "Settings of name resolution.", {
  nameservers: strings("Name servers to ask."),
  searches: strings("Domains to search."),
  options: list(
    struct(`${core}.PodDNSConfigOption`, "A resolver option.", { name: str("Name."), value: str("Value.") }),
    "Resolver options.",
  ),
});

const podSecurity = struct(`${core}.PodSecurityContext`, "Rights of all containers of a pod.", {
  appArmorProfile: opaque("AppArmor profile."),
  fsGroup: long("Group that owns its volumes."),
  fsGroupChangePolicy: str("When that ownership is set."),
  runAsGroup: long("Group to run as."),
  runAsNonRoot: bool("True to refuse to run as root."),
  runAsUser: long("User to run as."),
  seLinuxOptions: opaque("SELinux labels."),
  seLinuxChangePolicy: str("How those are set."),
  seccompProfile: opaque("Seccomp profile."),
  supplementalGroups: list({ type: "int64" }, "Further groups."),
  supplementalGroupsPolicy: str("Whether groups of the image count."),
  sysctls: list(
    struct(
      `${core}.Sysctl`,
      "A kernel parameter.",
      { name: str("Name."), value: str("Value.") },
      { required: ["name", "value"] },
    ),
    "Kernel parameters of the pod's namespaces.",
  ),
  windowsOptions: opaque("Options of Windows."),
});

/** `PodSpec`. */
export const podSpec = struct(
  `${core}.PodSpec`,
  "What a pod runs, and how.",
  {
    containers: listBy(["name"], container, "Its containers; at least one."),
    initContainers: listBy(
      ["name"],
      container,
      "Containers that must end well, one after another, before the others start.",
    ),
    ephemeralContainers: listBy(["name"], ephemeralContainer, "Containers that joined to look at the pod."),
    volumes: listBy(["name"], volume, "Directories that its containers can see."),
    restartPolicy: oneOf(["Always", "OnFailure", "Never"], "When ended containers are started again.", "Always"),
    terminationGracePeriodSeconds: long("Seconds that it has to end.", 30),
    activeDeadlineSeconds: long("Seconds after which it is ended."),
    dnsPolicy: oneOf(
      ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
      "Which name servers it asks.",
      "ClusterFirst",
    ),
    dnsConfig: of(dnsConfig, "Settings of name resolution, added to those of the policy."),
    nodeSelector: selector("Labels that its node must have."),
    nodeName: str("Node that it runs on. The scheduler fills it in."),
    serviceAccountName: str("ServiceAccount that it runs as."),
    serviceAccount: str("Older name of serviceAccountName."),
    automountServiceAccountToken: bool("Whether it gets a token."),
    hostNetwork: bool("True if it shares the node's network."),
    hostPID: bool("True if it sees the node's processes."),
    hostIPC: bool("True if it shares the node's IPC."),
    hostUsers: bool("False if it has a user namespace of its own."),
    shareProcessNamespace: bool("True if its containers see each other's processes."),
    securityContext: of(podSecurity, "Rights of all its containers.", {}),
    imagePullSecrets: listBy(["name"], localReference, "Secrets for fetching images."),
    hostname: str("Its host name, instead of its own name."),
    subdomain: str("The headless Service under which its host name is found."),
    setHostnameAsFQDN: bool("True if its host name is the whole name."),
    hostnameOverride: str("Its host name, with nothing added."),
    affinity: opaque("Nodes and other pods that it wants near or far."),
    schedulerName: str("Scheduler that chooses its node.", "default-scheduler"),
    tolerations: list(toleration, "Taints of nodes that it bears."),
    hostAliases: listBy(["ip"], hostAlias, "Lines added to /etc/hosts."),
    priorityClassName: str("Name of its priority."),
    priority: int("Its priority."),
    preemptionPolicy: str("Whether others make way for it."),
    readinessGates: list(
      struct(
        `${core}.PodReadinessGate`,
        "A condition.",
        { conditionType: str("Type of the condition.") },
        { required: ["conditionType"] },
      ),
      "Further conditions that must hold before it counts as ready.",
    ),
    runtimeClassName: str("Runtime that it runs in."),
    enableServiceLinks: bool("Whether it gets variables for each Service.", true),
    overhead: quantities("What the runtime itself uses."),
    topologySpreadConstraints: listBy(
      ["topologyKey", "whenUnsatisfiable"],
      spread,
      "How such pods spread over places.",
    ),
    os: of(
      struct(`${core}.PodOS`, "An operating system.", { name: str("linux or windows.") }, { required: ["name"] }),
      "Operating system it needs.",
    ),
    schedulingGates: listBy(
      ["name"],
      struct(`${core}.PodSchedulingGate`, "A gate.", { name: str("Name.") }, { required: ["name"] }),
      "It is not scheduled while there are any.",
    ),
    resourceClaims: opaque("Claims on devices."),
    resources: of(resources, "What all its containers together need."),
    workloadRef: opaque("The group of pods that it is scheduled with."),
  },
  { required: ["containers"] },
);

/** `PodTemplateSpec`: the pods that a workload makes. */
export const podTemplate = struct(`${core}.PodTemplateSpec`, "The pods that are made.", {
  metadata: of(objectMeta, "Labels and annotations of the pods."),
  spec: of(podSpec, "What the pods run."),
});

/** Defaults of a pod's specification that depend on other fields: pull policy, ports of the node's network, older names. */
export function preparePodSpec(spec: JsonObject): JsonObject {
  const host = spec.hostNetwork === true;
  const prepared = (item: Json): Json => {
    if (!isObject(item)) return item;
    const image = textAt(item, "image");
    const latest = !/[:@][^/]*$/.test(image) || image.endsWith(":latest");
    const policy = image === "" ? {} : { imagePullPolicy: latest ? "Always" : "IfNotPresent" };
    const ports = listAt(item, "ports").map((port) =>
      host && isObject(port) && port.hostPort === undefined ? { ...port, hostPort: port.containerPort } : port,
    );
    return { ...policy, ...item, ...(item.ports === undefined ? {} : { ports }) };
  };
  const account = textAt(spec, "serviceAccountName") || textAt(spec, "serviceAccount");
  return {
    ...spec,
    ...(account === "" ? {} : { serviceAccountName: account, serviceAccount: account }),
    containers: listAt(spec, "containers").map(prepared),
    ...(spec.initContainers === undefined ? {} : { initContainers: listAt(spec, "initContainers").map(prepared) }),
  };
}

/** A template whose pods have all their defaults. */
export function prepareTemplate(template: JsonObject): JsonObject {
  return isObject(template.spec) ? { ...template, spec: preparePodSpec(template.spec) } : template;
}
