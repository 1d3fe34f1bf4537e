{{/* The template of a pod, alike for both ways to run. */}}
{{- define "lading.pod" -}}
{{- $isShared := eq (include "lading.isShared" .) "true" -}}
metadata:
  labels:
    {{- include "lading.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Settings are read at the start: a change of them is a new template, and that rolls the pods.
    checksum/config: {{ include "lading.settings" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "lading.serviceAccountName" . }}
  # Lading asks the cluster for nothing. Roles of AWS come by a token of their own.
  automountServiceAccountToken: false
  # Kubernetes would tell of each Service in variables; of one that is called lading in LADING_PORT and others, which are
  # no settings, and unknown ones stop the start.
  enableServiceLinks: false
  # Lading ends by itself before that.
  terminationGracePeriodSeconds: {{ add .Values.shutdown.delaySeconds .Values.shutdown.timeoutSeconds 15 }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: lading
      image: {{ include "lading.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      envFrom:
        - configMapRef:
            name: {{ include "lading.fullname" . }}
      {{- $env := concat (include "lading.secretEnv" . | fromYamlArray) .Values.extraEnv }}
      {{- with $env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 8080
          protocol: TCP
      startupProbe:
        {{- include "lading.probe" (dict "path" "/healthz" "root" .) | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 4
        failureThreshold: {{ .Values.startupProbe.failureThreshold }}
      # The process alone: a restart mends neither the database nor the bucket.
      livenessProbe:
        {{- include "lading.probe" (dict "path" "/healthz" "root" .) | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        {{- include "lading.probe" (dict "path" "/readyz" "root" .) | nindent 8 }}
        periodSeconds: 5
        # Lading itself waits three seconds for its database and its store.
        timeoutSeconds: 4
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /data
        - name: tmp
          mountPath: /tmp
        {{- if .Values.masterKey.existingSecret }}
        - name: master-key
          mountPath: /run/lading/master-key
          readOnly: true
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /run/lading/tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if $isShared }}
    # A lock and nothing else.
    - name: data
      emptyDir: {}
    {{- else if .Values.persistence.existingClaim }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim }}
    {{- end }}
    {{- with .Values.masterKey.existingSecret }}
    - name: master-key
      secret:
        secretName: {{ . }}
        defaultMode: 0440
        items:
          - key: {{ $.Values.masterKey.key }}
            path: master-key
    {{- end }}
    {{- with .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if $isShared }}
  topologySpreadConstraints:
    {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "lading.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "lading.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- if .root.Values.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
{{- end -}}

{{- define "lading.secretEnv" -}}
{{- $secrets := list
  (list "LADING_DATABASE_URL" .Values.database.existingSecret .Values.database.key)
  (list "LADING_BOOTSTRAP_KEY" .Values.bootstrapKey.existingSecret .Values.bootstrapKey.key)
  (list "LADING_METRICS_TOKEN" .Values.metrics.existingSecret .Values.metrics.key)
  (list "AWS_ACCESS_KEY_ID" .Values.storage.existingSecret .Values.storage.accessKeyIdKey)
  (list "AWS_SECRET_ACCESS_KEY" .Values.storage.existingSecret .Values.storage.secretAccessKeyKey) -}}
{{- range $secrets }}
{{- if index . 1 }}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}
{{- end }}
{{- if .Values.masterKey.existingSecret }}
- name: LADING_MASTER_KEY_FILE
  value: /run/lading/master-key/master-key
{{- end }}
{{- end -}}

{{/* What is no secret. */}}
{{- define "lading.settings" -}}
LADING_LISTEN: ":8080"
LADING_DATA_DIR: /data
{{- with .Values.publicUrl }}
LADING_PUBLIC_URL: {{ . | quote }}
{{- end }}
{{- with .Values.trustedProxies }}
LADING_TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
{{- with .Values.storage.url }}
LADING_STORAGE_URL: {{ . | quote }}
{{- end }}
{{- if .Values.storage.redirect }}
LADING_STORAGE_REDIRECT: "true"
{{- end }}
LADING_SHUTDOWN_DELAY: {{ printf "%ds" (ternary (int .Values.shutdown.delaySeconds) 0 (eq (include "lading.isShared" .) "true")) }}
LADING_SHUTDOWN_TIMEOUT: {{ printf "%ds" (int .Values.shutdown.timeoutSeconds) }}
{{- if .Values.tls.existingSecret }}
LADING_TLS_CERT: /run/lading/tls/tls.crt
LADING_TLS_KEY: /run/lading/tls/tls.key
{{- end }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end -}}
