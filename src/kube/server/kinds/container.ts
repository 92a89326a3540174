/** Containers of pods: what they run, how they are probed, what they get. */
import {
  bool,
  bytes,
  int,
  intOrString,
  list,
  listBy,
  long,
  of,
  oneOf,
  opaque,
  quantities,
  str,
  strings,
  struct,
  time,
} from "../schema/schema.ts";

const core = "io.k8s.api.core.v1";

const keyOf = (name: string, what: string) =>
  struct(
    `${core}.${name}`,
    `One key of a ${what}.`,
    {
      name: str(`Name of the ${what}.`, ""),
      key: str("The key."),
      optional: bool(`True if the ${what} or the key may be missing.`),
    },
    { required: ["key"], atomic: true },
  );

const envVarSource = struct(`${core}.EnvVarSource`, "Where the value of an environment variable comes from.", {
  configMapKeyRef: of(keyOf("ConfigMapKeySelector", "ConfigMap"), "A key of a ConfigMap."),
  fieldRef: of(
    struct(
      `${core}.ObjectFieldSelector`,
      "A field of the pod.",
      { apiVersion: str("API version of the path.", "v1"), fieldPath: str("Path of the field, such as status.podIP.") },
      { required: ["fieldPath"], atomic: true },
    ),
    "A field of the pod.",
  ),
  resourceFieldRef: opaque("An amount of resources of a container."),
  secretKeyRef: of(keyOf("SecretKeySelector", "Secret"), "A key of a Secret."),
  fileKeyRef: opaque("A key of a file in a volume."),
});

const envVar = struct(
  `${core}.EnvVar`,
  "An environment variable.",
  {
    name: str("Name of the variable."),
    value: str("Its value; $(OTHER) refers to variables before it."),
    valueFrom: of(envVarSource, "Where the value comes from, instead of value."),
  },
  { required: ["name"] },
);

const envFrom = struct(`${core}.EnvFromSource`, "Makes every key of a ConfigMap or Secret a variable.", {
  prefix: str("Put before each key."),
  configMapRef: of(
    struct(`${core}.ConfigMapEnvSource`, "A ConfigMap.", { name: str("Name.", ""), optional: bool("May be missing.") }),
    "A ConfigMap.",
  ),
  secretRef: of(
    struct(`${core}.SecretEnvSource`, "A Secret.", { name: str("Name.", ""), optional: bool("May be missing.") }),
    "A Secret.",
  ),
});

/** `ContainerPort`. */
export const containerPort = struct(
  `${core}.ContainerPort`,
  "A port that the container serves.",
  {
    name: str("Name of the port, which Services may use as their targetPort."),
    containerPort: int("Number of the port, 1 to 65535."),
    protocol: oneOf(["TCP", "UDP", "SCTP"], "TCP, UDP or SCTP.", "TCP"),
    hostPort: int("Port of the node that leads here."),
    hostIP: str("Address of the node that the host port is on."),
  },
  { required: ["containerPort"] },
);

const exec = struct(`${core}.ExecAction`, "Runs a command in the container.", {
  command: strings("The program and its arguments; no shell is involved."),
});

const httpGet = struct(
  `${core}.HTTPGetAction`,
  "Asks an HTTP server.",
  {
    path: str("Path of the request.", "/"),
    port: intOrString("Number or name of the port."),
    host: str("Host to connect to; the pod's address where it is not given."),
    scheme: oneOf(["HTTP", "HTTPS"], "HTTP or HTTPS.", "HTTP"),
    httpHeaders: list(
      struct(
        `${core}.HTTPHeader`,
        "A header.",
        { name: str("Name."), value: str("Value.") },
        { required: ["name", "value"] },
      ),
      "Headers of the request.",
    ),
  },
  { required: ["port"] },
);

const tcpSocket = struct(
  `${core}.TCPSocketAction`,
  "Opens a TCP connection.",
  { port: intOrString("Number or name of the port."), host: str("Host to connect to.") },
  { required: ["port"] },
);

const grpc = struct(
  `${core}.GRPCAction`,
  "Asks a gRPC health service.",
  { port: int("Number of the port."), service: str("Name of the service.", "") },
  { required: ["port"] },
);

const probe = struct(`${core}.Probe`, "Asks a container again and again whether it is well.", {
  exec: of(exec, "A command that must succeed."),
  httpGet: of(httpGet, "A request that must be answered with a status from 200 to 399."),
  tcpSocket: of(tcpSocket, "A port that must accept a connection."),
  grpc: of(grpc, "A gRPC health service that must answer SERVING."),
  initialDelaySeconds: int("Seconds to wait before the first time."),
  timeoutSeconds: int("Seconds after which an answer is too late.", 1),
  periodSeconds: int("Seconds between two times.", 10),
  successThreshold: int("Successes in a row that make it well.", 1),
  failureThreshold: int("Failures in a row that make it unwell.", 3),
  terminationGracePeriodSeconds: long("Seconds to end in, after a failure."),
});

const handler = struct(`${core}.LifecycleHandler`, "What to do at a point of a container's life.", {
  exec: of(exec, "A command to run."),
  httpGet: of(httpGet, "A request to send."),
  tcpSocket: of(tcpSocket, "Not used."),
  sleep: of(
    struct(`${core}.SleepAction`, "A wait.", { seconds: long("Seconds.") }, { required: ["seconds"] }),
    "A wait.",
  ),
});

const lifecycle = struct(`${core}.Lifecycle`, "What to do after the start and before the end of a container.", {
  postStart: of(handler, "Done right after the start."),
  preStop: of(handler, "Done before the container is told to end, within the grace period."),
  stopSignal: str("The signal that tells it to end."),
});

/** `ResourceRequirements`. */
export const resources = struct(`${core}.ResourceRequirements`, "Amounts of cpu, memory and the like.", {
  limits: quantities("What it may use at most."),
  requests: quantities("What it needs."),
  claims: list(
    struct(
      `${core}.ResourceClaim`,
      "A claim.",
      { name: str("Name."), request: str("Request.") },
      { required: ["name"] },
    ),
    "Claims of the pod that it uses.",
  ),
});

const capabilities = struct(`${core}.Capabilities`, "Linux capabilities.", {
  add: strings("Capabilities to add."),
  drop: strings("Capabilities to take away."),
});

const securityContext = struct(`${core}.SecurityContext`, "Rights of a container.", {
  allowPrivilegeEscalation: bool("False if no child may have more rights than its parent."),
  appArmorProfile: opaque("AppArmor profile."),
  capabilities: of(capabilities, "Capabilities to add and to drop."),
  privileged: bool("True for all rights of the host."),
  procMount: str("How /proc is mounted."),
  readOnlyRootFilesystem: bool("True for a root file system that cannot be written."),
  runAsGroup: long("Group to run as."),
  runAsNonRoot: bool("True to refuse to run as root."),
  runAsUser: long("User to run as."),
  seLinuxOptions: opaque("SELinux labels."),
  seccompProfile: opaque("Seccomp profile."),
  windowsOptions: opaque("Options of Windows."),
});

const volumeMount = struct(
  `${core}.VolumeMount`,
  "A volume in a container.",
  {
    name: str("Name of the volume."),
    mountPath: str("Where it is seen in the container."),
    readOnly: bool("True if it cannot be written."),
    recursiveReadOnly: str("Whether that holds for what is mounted below."),
    mountPropagation: str("Whether mounts pass between the container and its host."),
    subPath: str("The part of the volume that is seen."),
    subPathExpr: str("The same, with environment variables."),
  },
  { required: ["name", "mountPath"] },
);

const volumeDevice = struct(
  `${core}.VolumeDevice`,
  "A block device in a container.",
  { name: str("Name of the claim."), devicePath: str("Path of the device.") },
  { required: ["name", "devicePath"] },
);

const containerFields = {
  name: str("Name, unique in the pod. Cannot change."),
  image: str("Image to run. A container with a command runs that program of the machine instead."),
  command: strings("Program to run, instead of the image's own."),
  args: strings("Arguments of the program."),
  workingDir: str("Directory to run in."),
  ports: listBy(["containerPort", "protocol"], containerPort, "Ports that the container serves."),
  envFrom: list(envFrom, "Where environment variables come from in bulk."),
  env: listBy(["name"], envVar, "Environment variables."),
  resources: of(resources, "What it needs and may use.", {}),
  resizePolicy: list(
    struct(
      `${core}.ContainerResizePolicy`,
      "What a resize does.",
      { resourceName: str("Resource."), restartPolicy: str("Whether to restart.") },
      { required: ["resourceName", "restartPolicy"] },
    ),
    "What changes of resources do to the container.",
  ),
  restartPolicy: str("Always makes an init container a side car that keeps running."),
  restartPolicyRules: opaque("When to restart."),
  volumeMounts: listBy(["mountPath"], volumeMount, "Volumes that it sees."),
  volumeDevices: listBy(["devicePath"], volumeDevice, "Block devices that it sees."),
  livenessProbe: of(probe, "The container is restarted when this fails."),
  readinessProbe: of(probe, "The pod gets no traffic of Services while this fails."),
  startupProbe: of(probe, "Other probes begin once this succeeded."),
  lifecycle: of(lifecycle, "What to do after its start and before its end."),
  terminationMessagePath: str("File with its last words.", "/dev/termination-log"),
  terminationMessagePolicy: str("Where its last words come from.", "File"),
  imagePullPolicy: oneOf(["Always", "IfNotPresent", "Never"], "When the image is fetched."),
  securityContext: of(securityContext, "Its rights."),
  stdin: bool("True if it has a standard input."),
  stdinOnce: bool("True if that closes after the first session."),
  tty: bool("True if it has a terminal."),
} as const;

/** `Container`. */
export const container = struct(`${core}.Container`, "A program that a pod runs.", containerFields, {
  required: ["name"],
});

/** `EphemeralContainer`. */
export const ephemeralContainer = struct(
  `${core}.EphemeralContainer`,
  "A container that joins a running pod, to look at it.",
  { ...containerFields, targetContainerName: str("The container whose namespaces it shares.") },
  { required: ["name"] },
);

const state = struct(`${core}.ContainerState`, "What a container is doing: one of the members is set.", {
  waiting: of(
    struct(`${core}.ContainerStateWaiting`, "It has not started.", {
      reason: str("Why, in one word."),
      message: str("Why."),
    }),
    "It has not started.",
  ),
  running: of(struct(`${core}.ContainerStateRunning`, "It runs.", { startedAt: time("Since when.") }), "It runs."),
  terminated: of(
    struct(
      `${core}.ContainerStateTerminated`,
      "It has ended.",
      {
        exitCode: int("Its exit code."),
        signal: int("The signal that ended it."),
        reason: str("Why, in one word."),
        message: str("Why."),
        startedAt: time("When it started."),
        finishedAt: time("When it ended."),
        containerID: str("Which container it was."),
      },
      { required: ["exitCode"] },
    ),
    "It has ended.",
  ),
});

/** `ContainerStatus`. */
export const containerStatus = struct(
  `${core}.ContainerStatus`,
  "How a container is.",
  {
    name: str("Name of the container."),
    state: of(state, "What it is doing."),
    lastState: of(state, "How it ended the last time.", {}),
    ready: bool("True if it passes its readiness probe."),
    restartCount: int("How often it was restarted."),
    image: str("Its image."),
    imageID: str("The exact image."),
    containerID: str("Which container it is."),
    started: bool("True once its start is complete."),
    allocatedResources: quantities("What the node has set aside for it."),
    resources: of(resources, "What it has."),
    volumeMounts: opaque("How its volumes are mounted."),
    user: opaque("Who it runs as."),
    allocatedResourcesStatus: opaque("How its devices are."),
    stopSignal: str("The signal that tells it to end."),
  },
  { required: ["name", "ready", "restartCount", "image", "imageID"] },
);

/** Bytes of a Secret or ConfigMap, by key. */
export const byteMap = (doc: string) => ({
  schema: { type: "map", values: bytes("").schema, atomic: false } as const,
  doc,
});
