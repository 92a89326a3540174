import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";
import { compileTemplate } from "./gotemplate.ts";

test("templates are filled as Go fills them", () => {
  const data = {
    Name: "a.example.",
    Match: ["ip-10-0", "10", "0"],
    Group: { a: "10", hex: "0a" },
    Meta: (label: unknown) => `<${String(label)}>`,
    Empty: "",
  };
  const cases: readonly (readonly [string, string])[] = [
    ["{{ .Name }} 60 IN A 10.0.0.{{.Group.a}}", "a.example. 60 IN A 10.0.0.10"],
    ["{{ index .Match 1 }}-{{ index .Match 9 }}", "10-"],
    ['{{ .Meta "kubernetes/x" }}', "<kubernetes/x>"],
    ["{{ parseInt .Group.hex 16 8 }}", "10"],
    ['{{ printf "%03d|%s|%x%%" (parseInt .Group.a 10 8) .Name 255 }}', "010|a.example.|ff%"],
    ['{{ .Group.a | printf "%s.%s" "x" }}', "x.10"],
    ['{{ if eq .Group.a "10" "11" }}yes{{ else }}no{{ end }}', "yes"],
    ["{{ if .Empty }}a{{ else if .Name }}b{{ else }}c{{ end }}", "b"],
    ["x {{- .Group.a -}}  y", "x10y"],
    ['{{ "}}" }}{{/* comment */}}', "}}"],
    ["{{ if and (not .Empty) (ne .Name .Group.a) }}t{{ end }}", "t"],
    ["{{ $x := .Group.a }}{{ $x }}-{{ $.Name }}", "10-a.example."],
    ["{{ $x := 1 }}{{ if .Name }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"],
    ["{{ $x := 1 }}{{ if .Name }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"],
    ["{{ with .Group }}{{ .a }}.{{ $.Name }}{{ else }}none{{ end }}", "10.a.example."],
    ["{{ with .Empty }}x{{ else }}{{ .Name }}{{ end }}", "a.example."],
    ["{{ range .Match }}[{{ . }}]{{ end }}", "[ip-10-0][10][0]"],
    ["{{ range $i, $m := .Match }}{{ if gt $i 0 }}{{ $m }},{{ end }}{{ end }}", "10,0,"],
    ["{{ range $k, $v := .Group }}{{ $k }}={{ $v }};{{ end }}", "a=10;hex=0a;"],
    ["{{ range .None }}x{{ else }}empty{{ end }}", "empty"],
    ["{{ slice .Name 0 1 }}{{ slice .Name 9 }}", "a."],
    ["{{ if le 1 1 }}{{ if ge 2 1 }}t{{ end }}{{ end }}", "t"],
  ];
  for (const [template, expected] of cases) assert.equal(compileTemplate(template)(data), expected, template);
  for (const bad of [
    "{{ .Name",
    "{{ foo }}",
    "{{ if .Name }}",
    "{{ end }}",
    "{{ range .Match }}",
    "{{ with .Name }}{{ else }}",
    "{{ range $a, $b, $c := .Match }}{{ end }}",
    '{{ define "x" }}{{ end }}',
    "{{ }}",
    "{{ (.Name }}",
  ]) {
    assert.throws(() => compileTemplate(bad), SyntaxError, bad);
  }
  for (const wrong of [
    '{{ parseInt "x" 10 8 }}',
    "{{ $x }}",
    "{{ $x = 1 }}",
    "{{ range .Name }}{{ end }}",
    "{{ slice .Name 3 99 }}",
  ])
    assert.throws(() => compileTemplate(wrong)(data), TypeError, wrong);
});

test("queries are answered by the first template that they match", async () => {
  const server = await serve(`. {
    template IN A ip.example {
      match "^ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]ip[.]example[.]$"
      answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
      additional "x.example. 60 IN TXT {{ .Remote }}"
      fallthrough deep.ip.example
    }
    template ANY ANY gone.example {
      rcode NXDOMAIN
      authority "gone.example. 60 IN SOA a.gone.example. b.gone.example. 1 60 60 60 60"
      ederror 15 "blocked"
    }
    template IN A alias.example {
      answer "{{ .Name }} 60 IN CNAME ip-1-2-3-4.ip.example."
    }
    template IN A broken.example {
      answer "{{ .Name }} 60 IN A nonsense"
    }
    whoami
  }`);
  const rows: readonly (readonly [string, RegExp])[] = [
    [
      "ip-10-0-0-7.ip.example A",
      /^NOERROR aa\nip-10-0-0-7.ip.example. 60 A 10.0.0.7\nadditional x.example. 60 TXT "192.0.2.99"$/,
    ],
    ["other.ip.example A", /^SERVFAIL/],
    ["other.deep.ip.example A", /additional other.deep.ip.example. 0 A/],
    ["ip-1-2-3-4.ip.example TXT", /additional/],
    ["x.gone.example MX", /^NXDOMAIN aa\nauthority gone.example. 60 SOA/],
    [
      "x.alias.example A",
      /^NOERROR aa\nx.alias.example. 60 CNAME ip-1-2-3-4.ip.example.\nip-1-2-3-4.ip.example. 60 A 1.2.3.4/,
    ],
    ["x.broken.example A", /^SERVFAIL/],
  ];
  for (const [question, expected] of rows) assert.match(await server.text(question), expected, question);
  const broken = 'server="dns://:53",zone="broken.example.",view="",class="IN",type="A"';
  const which = 'section="answer",template="{{ .Name }} 60 IN A nonsense"';
  assert.equal(server.metric(`coredns_template_matches_total{${broken}}`), 1);
  assert.equal(server.metric(`coredns_template_rr_failures_total{${broken},${which}}`), 1);
  const edns = { udpSize: 1232, version: 0, do: false, options: [] };
  const gone = await server.ask("x.gone.example A", { message: { edns } });
  assert.equal(Buffer.from(gone?.edns?.options[0]?.data ?? []).toString(), "\0\x0fblocked");
  server.stop();
});

test("records of templates may have parentheses, as SOA records have", async () => {
  const server = await serve(
    '. {\n template ANY ANY invalid {\n rcode NXDOMAIN\n authority "invalid. 60 {{ .Class }} SOA ns.invalid. admin.invalid. (1 60 60 60 60)"\n }\n}',
  );
  assert.equal(
    await server.text("a.invalid. A"),
    "NXDOMAIN aa\nauthority invalid. 60 SOA ns.invalid. admin.invalid. 1 60 60 60 60",
  );
  server.stop();
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["template IN", /at least 2 arguments/],
    ["template IN NOTYPE", /'NOTYPE' is not a record type/],
    ["template IN A {\n match (\n}", /match: /],
    ['template IN A {\n answer "{{ .Name"\n}', /without }}/],
    ["template IN A {\n rcode FOO\n}", /not a response code/],
  ] as const) {
    await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
  }
});
