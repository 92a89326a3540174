/** The picture's colours and type, by light and dark; without variables, which some programs that show SVG lack. */
export const style = `
text { font-family: ui-sans-serif, system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1f2937; }
.title { font-size: 18px; font-weight: 600; }
.subtitle { font-size: 13px; fill: #4b5563; }
.column { font-size: 12px; font-weight: 600; fill: #6b7280; letter-spacing: 0.04em; }
.lane-name { font-size: 14px; font-weight: 600; }
.role { font-weight: 400; fill: #6b7280; }
.line, .header, .quiet { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11px; }
.rule { font-weight: 600; }
.quiet { fill: #6b7280; }
.change { fill: #1d4ed8; }
.changed { fill: #1d4ed8; font-weight: 700; }
.stop { fill: #b91c1c; font-weight: 700; }
.doubt { fill: #92400e; }
.paper { fill: #ffffff; }
.lane { fill: #f3f4f6; stroke: #e5e7eb; }
.lane.pod { fill: #eff6ff; stroke: #dbeafe; }
.box { fill: #ffffff; stroke: #9ca3af; }
.box.stopped { stroke: #b91c1c; stroke-width: 2; }
.divider, .guide { stroke: #e5e7eb; }
.guide { stroke-dasharray: 2 4; }
.way { fill: none; stroke: #2563eb; stroke-width: 2; stroke-linejoin: round; }
.head { fill: #2563eb; }
.result { fill: #f9fafb; stroke: #e5e7eb; }
.result .line { font-size: 12px; }
.stripe.good { fill: #15803d; }
.stripe.bad { fill: #b91c1c; }
.stripe.open { fill: #b45309; }
@media (prefers-color-scheme: dark) {
text { fill: #e5e7eb; }
.subtitle, .column, .role, .quiet { fill: #9ca3af; }
.change, .changed { fill: #93c5fd; }
.stop { fill: #fca5a5; }
.doubt { fill: #fcd34d; }
.paper { fill: #0f172a; }
.lane { fill: #1e293b; stroke: #334155; }
.lane.pod { fill: #172554; stroke: #1e3a8a; }
.box { fill: #0f172a; stroke: #64748b; }
.box.stopped { stroke: #f87171; }
.divider, .guide { stroke: #334155; }
.way { stroke: #60a5fa; }
.head { fill: #60a5fa; }
.result { fill: #1e293b; stroke: #334155; }
.stripe.good { fill: #4ade80; }
.stripe.bad { fill: #f87171; }
.stripe.open { fill: #fbbf24; }
}
`;
