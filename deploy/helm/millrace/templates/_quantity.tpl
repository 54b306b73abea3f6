{{/* Bytes of a Kubernetes quantity: 50Gi, 1.5G, 1048576. */}}
{{- define "millrace.bytes" -}}
{{- $text := toString . -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- $number := trimSuffix $unit $text | float64 -}}
{{- if $unit -}}
{{ mulf $number (get $units $unit) | int64 }}
{{- else -}}
{{ int64 $number }}
{{- end }}
{{- end }}

{{/* Bytes for people: 40Gi, 512Mi. */}}
{{- define "millrace.forPeople" -}}
{{- $bytes := int64 . -}}
{{- if ge $bytes 1073741824 -}}{{ printf "%.1f GiB" (divf $bytes 1073741824) }}{{- else -}}{{ printf "%.0f MiB" (divf $bytes 1048576) }}{{- end }}
{{- end }}

{{/* The collector's channel has 80 % of its volume: segments, side files and the file system want room too. */}}
{{- define "millrace.collectorBudget" -}}
{{ mulf 0.8 (include "millrace.bytes" .Values.collector.storage.size | float64) | int64 }}
{{- end }}

{{/* Bytes of the collector's files that are kept; nothing when none is removed: "all", or a claim of unknown size. */}}
{{- define "millrace.filesKept" -}}
{{- $files := .Values.collector.output.files -}}
{{- if eq (toString $files.retention) "all" -}}
{{- else if $files.retention -}}
{{ include "millrace.bytes" $files.retention }}
{{- else if not $files.existingClaim -}}
{{ mulf 0.8 (include "millrace.bytes" $files.size | float64) | int64 }}
{{- end -}}
{{- end }}
