{{/* How a collector's time to stop is divided: the last third is for handing over, where it does. */}}
{{- define "millrace.handsOver" -}}
{{- if and .Values.collector.drain.handOver (eq .Values.collector.channel "durable") }}true{{ end }}
{{- end }}

{{- define "millrace.handOverSeconds" -}}
{{- if include "millrace.handsOver" . -}}{{ div .Values.collector.drain.graceSeconds 3 }}{{- else -}}0{{- end }}
{{- end }}

{{- define "millrace.collectorDrainSeconds" -}}
{{ sub .Values.collector.drain.graceSeconds (include "millrace.handOverSeconds" . | int) }}
{{- end }}

{{/*
Seconds of a role's start. It may have to wait until a predecessor that is being terminated lets go of
the directory, for as long as that one has; then five minutes to open its log. Give (list $ "edge").
*/}}
{{- define "millrace.graceSeconds" -}}
{{ add (index (index . 0).Values (index . 1)).drain.graceSeconds 30 }}
{{- end }}
{{- define "millrace.startSeconds" -}}
{{ add (include "millrace.graceSeconds" .) 300 }}
{{- end }}
