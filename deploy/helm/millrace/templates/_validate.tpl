{{/*
What the schema cannot say, and what it says again here for `--skip-schema-validation`: every combination that loses
events or cannot work. All problems are told at once, each with its fix.
*/}}
{{- define "millrace.problems" -}}
{{- $v := .Values -}}
{{- $found := list -}}
{{- $most := eq $v.guarantee "atLeastOnce" -}}
{{- if not $v.image.repository -}}
{{- $found = append $found (include "millrace.noImage" .) -}}
{{- end -}}
{{- if not (or $v.edge.enabled $v.collector.enabled) -}}
{{- $found = append $found "edge.enabled and collector.enabled are both false: nothing would be installed. Set one of them to true." -}}
{{- end -}}
{{- if and $v.edge.enabled (not $v.collector.enabled) (not $v.edge.standby.host) (not $v.edge.conf) (not $v.config.existingConfigMap) -}}
{{- $found = append $found "collector.enabled is false and the edges know no other collectors: set edge.standby.host, or write edge.conf." -}}
{{- end -}}
{{- if and $v.edge.enabled (ne (toString $v.edge.updateStrategy.maxSurge) "0") -}}
{{- $found = append $found "edge.updateStrategy.maxSurge must be 0: two agents cannot share a state directory, so the new one would wait for the old one while that is not stopped. Use edge.updateStrategy.maxUnavailable." -}}
{{- end -}}
{{- if and $v.edge.enabled $v.edge.logs.hold.enabled (eq (dir (trimSuffix "/" $v.edge.logs.path)) "/") -}}
{{- $found = append $found "edge.logs.hold needs the directory above edge.logs.path, which would be the node's whole file system. Put the logs deeper, or turn hold off." -}}
{{- end -}}
{{- if and $v.collector.enabled (eq $v.collector.channel "memory") $most -}}
{{- $found = append $found "collector.channel: memory loses what it holds when a pod ends. Set guarantee: bestEffort if you accept that, or collector.channel: durable or direct." -}}
{{- end -}}
{{- if and $v.collector.enabled (eq $v.collector.channel "durable") (not $v.collector.storage.size) -}}
{{- $found = append $found "collector.channel: durable needs a volume: set collector.storage.size, or collector.channel: direct." -}}
{{- end -}}
{{- if and $v.collector.enabled $most (eq $v.collector.storage.retain.whenScaled "Delete") -}}
{{- $found = append $found "collector.storage.retain.whenScaled: Delete removes a volume that may still hold events. Set it to Retain, or guarantee: bestEffort." -}}
{{- end -}}
{{- if and $v.collector.enabled $most (eq $v.collector.channel "direct") (eq $v.collector.output.preset "files") (not $v.collector.output.files.existingClaim) (not $v.collector.conf) (not $v.config.existingConfigMap) -}}
{{- $found = append $found "collector.output.preset: files with collector.channel: direct would write to a volume that goes with its pod. Set collector.channel: durable, name a ReadWriteMany claim in collector.output.files.existingClaim, or use collector.output.preset: conf." -}}
{{- end -}}
{{- if has $v.collector.output.preset (list "hdfs" "kafka" "s3" "elasticsearch") -}}
{{- $found = append $found (printf "collector.output.preset: %s is not in this version yet: there is no such sink. Use files, or conf with one of the sinks there are (docs/components.md)." $v.collector.output.preset) -}}
{{- else if not (has $v.collector.output.preset (list "files" "conf")) -}}
{{- $found = append $found "collector.output.preset must be files or conf." -}}
{{- end -}}
{{- if and (eq $v.collector.output.preset "conf") (not $v.collector.output.conf) (not $v.collector.conf) (not $v.config.existingConfigMap) -}}
{{- $found = append $found "collector.output.preset: conf needs the lines of your sinks in collector.output.conf." -}}
{{- end -}}
{{- if and $v.collector.autoscaling.enabled (eq $v.collector.channel "durable") (not $v.collector.drain.handOver) -}}
{{- $found = append $found "collector.autoscaling with collector.channel: durable needs collector.drain.handOver: true, or what a collector holds waits on its volume when it is scaled away." -}}
{{- end -}}
{{- if and $v.collector.autoscaling.enabled (not $v.collector.autoscaling.oldestEventAgeSeconds) (not $v.collector.autoscaling.cpuPercent) -}}
{{- $found = append $found "collector.autoscaling has nothing to go by: set oldestEventAgeSeconds, cpuPercent or both." -}}
{{- end -}}
{{- if gt (int $v.collector.autoscaling.min) (int $v.collector.autoscaling.max) -}}
{{- $found = append $found "collector.autoscaling.min is more than collector.autoscaling.max: exchange them." -}}
{{- end -}}
{{- if and (eq $v.tls.mode "none") (not $v.tls.allowPlaintext) -}}
{{- $found = append $found "tls.mode: none sends every event in plain text: set tls.allowPlaintext: true if you mean it, or tls.mode: chart, secret or certManager." -}}
{{- end -}}
{{- if and (eq $v.tls.mode "certManager") (not $v.tls.certManager.issuerRef.name) -}}
{{- $found = append $found "tls.mode: certManager needs an issuer: set tls.certManager.issuerRef.name." -}}
{{- end -}}
{{- if and (eq $v.discovery.type "consul") (not $v.discovery.consul.address) -}}
{{- $found = append $found "discovery.type: consul needs discovery.consul.address, host:port of a Consul agent; or use discovery.type: dns." -}}
{{- end -}}
{{- if and $v.discovery.consul.tokenSecret (not (and $v.discovery.consul.tokenSecret.name $v.discovery.consul.tokenSecret.key)) -}}
{{- $found = append $found "discovery.consul.tokenSecret needs both name and key." -}}
{{- end -}}
{{- range list "edge" "collector" -}}
{{- $role := index $v . -}}
{{- if and $v.config.existingConfigMap (or $role.conf $role.extraConf) -}}
{{- $found = append $found (printf "config.existingConfigMap and %s.conf or %s.extraConf exclude each other: put the lines into your ConfigMap, or leave its name empty." . .) -}}
{{- end -}}
{{- end -}}
{{- if and $v.config.existingConfigMap (eq $v.config.onChange "roll") -}}
{{- $found = append $found "config.onChange: roll cannot see changes of a ConfigMap that is not the chart's: use config.onChange: reload." -}}
{{- end -}}
{{- if and $v.monitoring.serviceMonitor.enabled $v.monitoring.podMonitor.enabled -}}
{{- $found = append $found "monitoring.serviceMonitor and monitoring.podMonitor together count everything twice: enable one of them." -}}
{{- end -}}
{{- if and (eq $v.tls.mode "chart") (not $v.security.rbac.create) $v.security.serviceAccount.create -}}
{{- $found = append $found "security.rbac.create: false with tls.mode: chart needs an account of yours, as the chart's own come after the Job: set security.serviceAccount.create: false and security.serviceAccount.name to one that may create, get and update secrets, or tls.mode: secret." -}}
{{- end -}}
{{- if and $v.edge.enabled (has (toString $v.edge.updateStrategy.maxUnavailable) (list "0" "0%")) -}}
{{- $found = append $found "edge.updateStrategy.maxUnavailable must be more than 0: no agent could ever be replaced." -}}
{{- end -}}
{{- if and $v.collector.enabled (eq (int $v.monitoring.port) (int $v.collector.service.port)) -}}
{{- $found = append $found (printf "monitoring.port and collector.service.port are both %d: give one of them another." (int $v.monitoring.port)) -}}
{{- end -}}
{{- with $v.collector.output.files -}}
{{- if and (eq $v.collector.output.preset "files") (not .existingClaim) .retention (ne (toString .retention) "all") -}}
{{- if ge (include "millrace.bytes" .retention | int64) (include "millrace.bytes" .size | int64) -}}
{{- $found = append $found (printf "collector.output.files.retention: %v does not fit on a volume of %v with the file that is being written: leave it empty for 80 %% of the volume, or \"all\"." .retention .size) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" (include "millrace.fullname" .)) -}}
{{- $found = append $found (printf "release %s: names of Services begin with a letter. Set fullnameOverride." .Release.Name) -}}
{{- end -}}
{{- if and (not $v.security.serviceAccount.create) (not $v.security.serviceAccount.name) -}}
{{- $found = append $found "security.serviceAccount.create is false: name the one to use in security.serviceAccount.name." -}}
{{- end -}}
{{- range $found }}
- {{ . }}
{{- end }}
{{- end }}

{{- define "millrace.noImage" -}}
image.repository is empty, and there is no public Millrace image yet. Set image.repository; build with, at the root of the repository:
      docker build -t REGISTRY/millrace:{{ .Chart.AppVersion }} -f deploy/docker/Dockerfile .
  then push it (docker push REGISTRY/millrace:{{ .Chart.AppVersion }}) or load it (kind load docker-image REGISTRY/millrace:{{ .Chart.AppVersion }}), and
      helm install ... --set image.repository=REGISTRY/millrace
  deploy/docker/README.md says more.
{{- end }}
