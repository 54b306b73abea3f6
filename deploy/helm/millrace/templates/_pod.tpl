{{/* The words behind `millrace` in a pod. Give (list $ "edge"). */}}
{{- define "millrace.args" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $values := $root.Values -}}
- agent
- -n
- {{ $role }}
- -f
- /etc/millrace/{{ $role }}.conf
- --poll-interval
- {{ $values.config.pollSeconds | quote }}
- '-Dflume.monitoring.type=prometheus'
- '-Dflume.monitoring.port={{ $values.monitoring.port }}'
- '-Dflume.monitoring.bind={{ $values.security.bindAddress }}'
- '-Dmillrace.role={{ $role }}'
- '-Dmillrace.socket=/run/millrace/agent.sock'
- '-Dmillrace.reload={{ ternary "watch" "off" (eq $values.config.onChange "reload") }}'
- '-Dmillrace.lockWaitSeconds={{ include "millrace.graceSeconds" . }}'
{{- if eq $role "edge" }}
- '-Dmillrace.drainSeconds={{ $values.edge.drain.graceSeconds }}'
{{- else }}
- '-Dmillrace.drainSeconds={{ include "millrace.collectorDrainSeconds" $root }}'
{{- if include "millrace.handsOver" $root }}
- '-Dmillrace.handOver={{ include "millrace.nearHost" $root | splitList "?interval" | first }}'
- '-Dmillrace.handOverSeconds={{ include "millrace.handOverSeconds" $root }}'
{{- if ne $values.tls.mode "none" }}
- '-Dmillrace.handOver.serverName={{ include "millrace.serverName" $root }}'
{{- if eq $values.tls.clientAuth "none" }}
- '-Dmillrace.handOver.truststore=/etc/millrace/tls/ca.crt'
- '-Dmillrace.handOver.truststore-type=PEM'
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the pod is told about itself, then the variables of the values. */}}
{{- define "millrace.environment" -}}
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_UID
  valueFrom: { fieldRef: { fieldPath: metadata.uid } }
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
{{- end }}

{{/*
Started: the agent was completely started once. Alive: the event loop turns. Ready: it listens and does
not drain; never "has room", or one full collector would be taken away from all the others.
*/}}
{{- define "millrace.probes" -}}
startupProbe:
  httpGet: { path: /startedz, port: http }
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (include "millrace.startSeconds" . | int) 5 }}
livenessProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{/* No capability, nothing to write but the volumes. */}}
{{- define "millrace.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* A metadata block of a pod template. */}}
{{- define "millrace.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $pod := (index $root.Values $role).pod -}}
{{- $annotations := dict -}}
{{- if and (eq $root.Values.config.onChange "roll") (not $root.Values.config.existingConfigMap) -}}
{{- $_ := set $annotations "checksum/config" (include "millrace.conf" . | sha256sum) -}}
{{- end -}}
{{- if $root.Values.monitoring.annotations -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- $_ := set $annotations "prometheus.io/port" (toString $root.Values.monitoring.port) -}}
{{- end -}}
{{- $annotations = merge (deepCopy (default dict $pod.annotations)) $annotations (dict "kubectl.kubernetes.io/default-container" "millrace") -}}
labels:
  {{- include "millrace.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  app.kubernetes.io/part-of: millrace
  {{- with include "millrace.yourLabels" (merge (deepCopy (default dict $pod.labels)) (default dict $root.Values.commonLabels)) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
annotations: {{- toYaml $annotations | nindent 2 }}
{{- end }}

{{/* Which nodes a pod may run on, and what it may run there. */}}
{{- define "millrace.nodes" -}}
{{- $root := index . 0 -}}
{{- $pod := (index $root.Values (index . 1)).pod -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a pod of either role has between its spec's first line and its containers. */}}
{{- define "millrace.podPlace" -}}
{{- $root := index . 0 -}}
{{- $pod := (index $root.Values (index . 1)).pod -}}
serviceAccountName: {{ include "millrace.serviceAccount" . }}
terminationGracePeriodSeconds: {{ include "millrace.graceSeconds" . }}
{{- with include "millrace.nodes" . | trim }}
{{ . }}
{{- end }}
{{- with $pod.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.initContainers }}
initContainers: {{- tpl (toYaml .) $root | nindent 2 }}
{{- end }}
{{- end }}

{{/* The container's first half: what it runs, with what, and how it is asked. */}}
{{- define "millrace.container" -}}
{{- $root := index . 0 -}}
{{- $pod := (index $root.Values (index . 1)).pod -}}
name: millrace
image: {{ include "millrace.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: {{- include "millrace.args" . | nindent 2 }}
env:
  {{- include "millrace.environment" $root | nindent 2 }}
  {{- with $pod.env }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
{{- with $pod.envFrom }}
envFrom: {{- tpl (toYaml .) $root | nindent 2 }}
{{- end }}
resources: {{- toYaml $pod.resources | nindent 2 }}
{{ include "millrace.probes" . }}
{{- end }}

{{- define "millrace.mounts" -}}
- { name: config, mountPath: /etc/millrace, readOnly: true }
- { name: run, mountPath: /run/millrace }
- { name: tmp, mountPath: /tmp }
{{- end }}

{{/*
Volumes of both roles. Configuration, certificates and Consul's token are one directory whose files change
together, by the swap of one symbolic link: that is what the agent's reload watches.
*/}}
{{- define "millrace.volumes" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $consul := $root.Values.discovery.consul -}}
- name: config
  projected:
    defaultMode: 0440
    sources:
      - configMap:
          name: {{ include "millrace.configMap" . }}
          items: [{ key: {{ $role }}.conf, path: {{ $role }}.conf }]
      {{- if ne $root.Values.tls.mode "none" }}
      - secret:
          name: {{ include "millrace.tlsSecret" $root }}
          items:
            - { key: ca.crt, path: tls/ca.crt }
            - { key: tls.crt, path: tls/tls.crt }
            - { key: tls.key, path: tls/tls.key }
      {{- end }}
      {{- if and (eq $root.Values.discovery.type "consul") $consul.tokenSecret }}
      - secret:
          name: {{ $consul.tokenSecret.name }}
          items: [{ key: {{ $consul.tokenSecret.key }}, path: consul/token }]
      {{- end }}
- { name: run, emptyDir: { medium: Memory, sizeLimit: 1Mi } }
- { name: tmp, emptyDir: { sizeLimit: 64Mi } }
{{- end }}
