{{/* The sinks of an edge, the preferred first, as a list of words. */}}
{{- define "millrace.edgeSinks" -}}
{{- if .Values.collector.enabled }}near far{{ end }}
{{- if .Values.edge.standby.host }} standby{{ end }}
{{- end }}

{{- define "millrace.edgeConf" -}}
{{- $edge := .Values.edge -}}
{{- $channel := ternary "disk" "direct" (eq $edge.channel "durable") -}}
{{- $sinks := include "millrace.edgeSinks" . | trim | splitList " " -}}
{{- $meta := $edge.metadata.enabled -}}
# edge.conf - one agent a node: container logs -> {{ ternary "file channel on this node" "no copy, the log is the buffer" (eq $edge.channel "durable") }} -> a collector.
# Written by the chart. To change lines: edge.extraConf; to write it yourself: edge.conf.

edge.sources = pods
edge.channels = {{ $channel }}
edge.sinks = {{ join " " $sinks }}

# ---- read ----
edge.sources.pods.type = kubernetes
edge.sources.pods.channels = {{ $channel }}
edge.sources.pods.path = {{ $edge.logs.path }}
edge.sources.pods.positionFile = /var/lib/millrace/edge/positions.json
edge.sources.pods.skipToEnd = {{ eq $edge.logs.startAt "end" }}
edge.sources.pods.batchSize = {{ $edge.batchSize | int64 }}
edge.sources.pods.maxLineBytes = {{ $edge.logs.maxLineBytes | int64 }}
edge.sources.pods.excludeSelf = {{ $edge.logs.excludeSelf }}
{{- if $edge.logs.excludeSelf }}
# A collector that logs would feed itself. By release, and by name where labels cannot be known.
edge.sources.pods.release = {{ .Release.Name }}
edge.sources.pods.excludePods = {{ .Release.Namespace }}/{{ include "millrace.fullname" . }}-(edge|collector|make-certs)-.*
{{- end }}
{{- with $edge.logs.excludeNamespaces }}
edge.sources.pods.excludeNamespaces = {{ join " " . }}
{{- end }}
edge.sources.pods.podAnnotations = {{ $meta }}
{{- if $edge.logs.hold.enabled }}
edge.sources.pods.hold = true
# Beside the pods' directory: the kubelet removes in there what is no pod's.
edge.sources.pods.holdDirectory = {{ dir (trimSuffix "/" $edge.logs.path) }}/millrace-hold/{{ .Release.Namespace }}/{{ include "millrace.fullname" . }}
edge.sources.pods.holdBytes = {{ include "millrace.bytes" $edge.logs.hold.budget }}
{{- end }}
{{- range $index, $rule := $edge.logs.multiline }}
edge.sources.pods.multiline.rule{{ $index }}.containers = {{ $rule.containers | replace "\\" "\\\\" }}
edge.sources.pods.multiline.rule{{ $index }}.firstLine = {{ $rule.firstLine | replace "\\" "\\\\" }}
{{- end }}
# The line's own time is there already; this is for what has none.
edge.sources.pods.interceptors = time node{{ if $meta }} meta{{ end }}
edge.sources.pods.interceptors.time.type = timestamp
edge.sources.pods.interceptors.time.preserveExisting = true
edge.sources.pods.interceptors.node.type = static
edge.sources.pods.interceptors.node.key = node
edge.sources.pods.interceptors.node.value = ${env:NODE_NAME}
{{- if $meta }}
edge.sources.pods.interceptors.meta.type = kubernetes
{{- with $edge.metadata.labels }}
edge.sources.pods.interceptors.meta.labels = {{ join " " . }}
{{- end }}
{{- with $edge.metadata.annotations }}
edge.sources.pods.interceptors.meta.annotations = {{ join " " . }}
{{- end }}
{{- end }}

# ---- keep ----
{{- if eq $edge.channel "durable" }}
edge.channels.disk.type = file
edge.channels.disk.dataDirs = /var/lib/millrace/edge/channel
edge.channels.disk.byteCapacity = {{ include "millrace.bytes" $edge.stateDir.budget }}
edge.channels.disk.capacity = 100000000
edge.channels.disk.transactionCapacity = 10000
edge.channels.disk.minimumRequiredSpace = {{ include "millrace.minFree" $edge.stateDir.minFree }}
{{- else }}
edge.channels.direct.type = direct
edge.channels.direct.transactionCapacity = 10000
{{- end }}

# ---- send ----
{{- range $sinks }}
edge.sinks.{{ . }}.type = avro
edge.sinks.{{ . }}.channel = {{ $channel }}
{{- if eq . "near" }}
# Every collector, in turns; one that fails sits out for a while.
edge.sinks.near.hostname = {{ include "millrace.nearHost" $ }}
edge.sinks.near.port = {{ $.Values.collector.service.port }}
edge.sinks.near.client.type = default_loadbalance
edge.sinks.near.backoff = true
edge.sinks.near.maxBackoff = 30000
{{- else if eq . "far" }}
# Another way to them, for when names are not found: the address of the Service from the environment.
edge.sinks.far.hostname = ${env:{{ include "millrace.serviceVariable" $ }}:-{{ include "millrace.collector" $ }}}
edge.sinks.far.port = {{ $.Values.collector.service.port }}
{{- else }}
# Another cluster.
edge.sinks.standby.hostname = {{ $edge.standby.host }}
edge.sinks.standby.port = {{ $edge.standby.port }}
{{- end }}
edge.sinks.{{ . }}.batch-size = {{ $edge.batchSize | int64 }}
edge.sinks.{{ . }}.connect-timeout = 5000
edge.sinks.{{ . }}.request-timeout = 20000
# A fresh connection now and then, so that new collectors get their share.
edge.sinks.{{ . }}.reset-connection-interval = 300
{{- if ne $.Values.tls.mode "none" }}
edge.sinks.{{ . }}.ssl = true
{{- $name := ternary $edge.standby.serverName (include "millrace.serverName" $) (eq . "standby") }}
{{- $at := printf "edge.sinks.%s" . }}
{{- with $name }}
{{ $at }}.serverName = {{ . }}
{{- end }}
{{ $at }}.truststore = /etc/millrace/tls/ca.crt
{{ $at }}.truststore-type = PEM
{{ $at }}.keystore = /etc/millrace/tls/tls.crt
{{ $at }}.keystore-key = /etc/millrace/tls/tls.key
{{ $at }}.keystore-type = PEM
{{- end }}
{{- end }}
{{- if gt (len $sinks) 1 }}

# The larger number is preferred; the next one has the batches while it fails.
edge.sinkgroups = collectors
edge.sinkgroups.collectors.sinks = {{ join " " $sinks }}
edge.sinkgroups.collectors.processor.type = failover
{{- range $index, $sink := $sinks }}
edge.sinkgroups.collectors.processor.priority.{{ $sink }} = {{ sub 10 (mul 4 $index) }}
{{- end }}
edge.sinkgroups.collectors.processor.maxpenalty = 30000
{{- end }}
{{- end }}

{{/* A share stays one; a quantity becomes bytes. */}}
{{- define "millrace.minFree" -}}
{{- if hasSuffix "%" (toString .) -}}{{ . }}{{- else -}}{{ include "millrace.bytes" . }}{{- end }}
{{- end }}

{{- define "millrace.nearHost" -}}
{{- if eq .Values.discovery.type "consul" -}}
{{- $consul := .Values.discovery.consul -}}
{{- $words := list (printf "agent=%s" $consul.address) -}}
{{- range $consul.tags }}{{ $words = append $words (printf "tag=%s" .) }}{{ end -}}
{{- if $consul.tokenSecret }}{{ $words = append $words "token-file=/etc/millrace/consul/token" }}{{ end -}}
consul://{{ include "millrace.consulService" . }}?{{ join "&" $words }}
{{- else -}}
dns://{{ include "millrace.headless" . }}:{{ .Values.collector.service.port }}?interval={{ .Values.discovery.intervalSeconds }}s
{{- end }}
{{- end }}
