/** `portolan completion`: scripts made from the table of commands, so they know every command and flag. */
import { parseFlags } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { type Command, exitStatus } from "./command.ts";
import { commands } from "./commands.ts";

/** What can be completed for a command. */
interface Completable {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly { readonly name: string; readonly help: string; readonly isSwitch: boolean }[];
  readonly choices: readonly string[];
}

const generators: Readonly<Record<string, (commands: readonly Completable[]) => string>> = { bash, zsh, fish };

/** The command. */
export const completion: Command = {
  name: "completion",
  summary: "Print a completion script for bash, zsh or fish",
  description:
    "Prints a script that completes commands and flags. Source it, or put it where your shell looks for such.",
  usage: "bash|zsh|fish",
  examples: [
    { line: "source <(portolan completion bash)", what: "in this shell" },
    { line: "portolan completion zsh > ~/.zfunc/_portolan", what: "for all shells of zsh that have ~/.zfunc in fpath" },
    { line: "portolan completion fish > ~/.config/fish/completions/portolan.fish", what: "for all shells of fish" },
  ],
  flags: {},
  choices: Object.keys(generators),
  async run(args, { out }) {
    const [shell = "", ...more] = parseFlags({}, args).rest;
    const generate = Object.hasOwn(generators, shell) ? generators[shell] : undefined;
    if (generate === undefined || more.length > 0) {
      throw new InvalidInputError(commandLine, [`name one shell: ${Object.keys(generators).join(", ")}`]);
    }
    out(generate(await Promise.all(commands.map(completable))));
    return exitStatus.ok;
  },
};

async function completable({ name, summary, load }: (typeof commands)[number]): Promise<Completable> {
  const { flags, choices, style } = await load();
  const dash = style === "go" ? "-" : "--";
  return {
    name,
    summary,
    flags: Object.entries(flags).map(([flag, { help, isSwitch }]) => ({
      name: dash + flag,
      help: (help.split(/[.;:] /)[0] ?? "").replace(/\.$/, ""),
      isSwitch,
    })),
    choices: name === "help" ? commands.map((command) => command.name) : (choices ?? []),
  };
}

function bash(all: readonly Completable[]): string {
  const cases = all.map(
    ({ name, flags, choices }) =>
      `    ${name}) words="${[...choices, ...flags.map((flag) => flag.name)].join(" ")}" ;;\n`,
  );
  return `# bash completion for portolan
_portolan() {
  local words current="\${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${all.map(({ name }) => name).join(" ")}"
  else
    case "\${COMP_WORDS[1]}" in
${cases.join("")}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _portolan portolan
`;
}

function zsh(all: readonly Completable[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const plain = (text: string) => text.replace(/[[\]:\\]/g, "\\$&");
  const list = all.map(({ name, summary }) => `    ${quote(`${name}:${plain(summary)}`)}\n`);
  const cases = all.map(({ name, flags, choices }) => {
    const specs = flags.map((flag) => quote(`${flag.name}${flag.isSwitch ? "" : "="}[${plain(flag.help)}]`));
    const argument = choices.length > 0 ? quote(`1:argument:(${choices.join(" ")})`) : quote("*:file:_files");
    return `    ${name}) _arguments ${[...specs, argument].join(" \\\n        ")} ;;\n`;
  });
  return `#compdef portolan
# zsh completion for portolan
_portolan() {
  local -a commands
  commands=(
${list.join("")}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases.join("")}  esac
}
compdef _portolan portolan
`;
}

function fish(all: readonly Completable[]): string {
  const quote = (text: string) => `'${text.replace(/['\\]/g, "\\$&")}'`;
  const lines = all.flatMap(({ name, summary, flags, choices }) => {
    const when = quote(`__fish_seen_subcommand_from ${name}`);
    return [
      `complete -c portolan -n __fish_use_subcommand -f -a ${name} -d ${quote(summary)}\n`,
      ...(choices.length > 0 ? [`complete -c portolan -n ${when} -f -a ${quote(choices.join(" "))}\n`] : []),
      ...flags.map((flag) => {
        const kind = flag.name.startsWith("--") ? "-l" : "-o";
        const long = flag.name.replace(/^-+/, "");
        return `complete -c portolan -n ${when} ${kind} ${long}${flag.isSwitch ? "" : " -r"} -d ${quote(flag.help)}\n`;
      }),
    ];
  });
  return `# fish completion for portolan\n${lines.join("")}`;
}
