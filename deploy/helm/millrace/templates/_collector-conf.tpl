{{- define "millrace.collectorConf" -}}
{{- $collector := .Values.collector -}}
{{- $channel := get (dict "durable" "disk" "direct" "direct" "memory" "memory") $collector.channel -}}
{{- $promise := get (dict "durable" "the batch is synced to this pod's volume" "direct" "its sink has the batch" "memory" "the batch is in memory, and may be lost") $collector.channel -}}
# collector.conf - an edge is told OK when {{ $promise }}.
# Written by the chart. To change lines: collector.extraConf; to write it yourself: collector.conf.

collector.sources = in
collector.channels = {{ $channel }}

# ---- receive: no interceptors, so that no event is decoded ----
collector.sources.in.type = avro
collector.sources.in.channels = {{ $channel }}
collector.sources.in.bind = {{ .Values.security.bindAddress }}
collector.sources.in.port = {{ $collector.service.port }}
collector.sources.in.maxConnections = {{ $collector.maxConnections | int64 }}
{{- if ne .Values.tls.mode "none" }}
collector.sources.in.ssl = true
collector.sources.in.keystore = /etc/millrace/tls/tls.crt
collector.sources.in.keystore-key = /etc/millrace/tls/tls.key
collector.sources.in.keystore-type = PEM
{{- if ne .Values.tls.clientAuth "none" }}
collector.sources.in.truststore = /etc/millrace/tls/ca.crt
collector.sources.in.truststore-type = PEM
{{- end }}
collector.sources.in.clientAuth = {{ .Values.tls.clientAuth }}
{{- end }}
{{- if eq .Values.discovery.type "consul" }}
{{- $consul := .Values.discovery.consul }}
collector.sources.in.consul.service = {{ include "millrace.consulService" . }}
collector.sources.in.consul.agent = {{ $consul.address }}
collector.sources.in.consul.address = ${env:POD_IP}
# The collector says that it is there: Consul needs no way to the pods.
collector.sources.in.consul.check = ttl
{{- with $consul.tags }}
collector.sources.in.consul.tags = {{ join ", " . }}
{{- end }}
{{- if $consul.tokenSecret }}
collector.sources.in.consul.tokenFile = /etc/millrace/consul/token
{{- end }}
{{- end }}

# ---- keep ----
{{- if eq $channel "disk" }}
collector.channels.disk.type = file
collector.channels.disk.dataDirs = /var/lib/millrace/collector/channel
# 80 % of the volume's {{ $collector.storage.size }}
collector.channels.disk.byteCapacity = {{ include "millrace.collectorBudget" . }}
collector.channels.disk.capacity = 1000000000
{{- else if eq $channel "direct" }}
collector.channels.direct.type = direct
{{- else }}
collector.channels.memory.type = memory
collector.channels.memory.capacity = 1000000
{{- end }}
collector.channels.{{ $channel }}.transactionCapacity = 10000

# ---- deliver ----
{{- if eq $collector.output.preset "conf" }}
{{ $collector.output.conf | replace "${channel}" $channel | trim }}
{{- else }}
collector.sinks = out
collector.sinks.out.type = file_roll
collector.sinks.out.channel = {{ $channel }}
collector.sinks.out.sink.directory = /var/lib/millrace/out
collector.sinks.out.sink.pathManager = ROLLTIME
collector.sinks.out.sink.pathManager.extension = log
collector.sinks.out.sink.rollInterval = {{ $collector.output.files.rollSeconds | int64 }}
collector.sinks.out.sink.batchSize = 1000
{{- with include "millrace.filesKept" . }}
# The oldest closed files go.
collector.sinks.out.sink.retentionBytes = {{ . }}
{{- end }}
# With the headers: they say which pod a line is from.
collector.sinks.out.sink.serializer = HEADER_AND_TEXT
{{- end }}
{{- end }}
