package watcher

import (
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// A ConfigMap is one of those that a label selector selects. Of one that is read by
// its name templates see the data alone, and nothing else of it is kept.
type ConfigMap struct {
	Name        string
	Namespace   string
	Labels      map[string]string
	Annotations map[string]string
	Data        map[string]string // binaryData too
}

// A Secret is one of those that a label selector selects. Its data is decoded.
type Secret ConfigMap

func (c *ConfigMap) String() string { return c.Name }
func (s *Secret) String() string    { return s.Name }

// configMaps are those whose labels match, sorted by name.
func (r *Reader) configMaps(selector string, namespace ...string) ([]*ConfigMap, error) {
	list, err := selected[ConfigMap](r, kindConfigMap, selector, namespace)
	for i, c := range list {
		given := *c
		given.Data = maps.Clone(c.Data)
		list[i] = &given
	}
	return sortedBy(list, func(c *ConfigMap) string { return c.Name }), err
}

// secrets are those whose labels match, sorted by name.
func (r *Reader) secretsOf(selector string, namespace ...string) ([]*Secret, error) {
	list, err := selected[Secret](r, kindSecret, selector, namespace)
	for i, s := range list {
		given := *s
		given.Data = r.hiddenValues(s.Data)
		list[i] = &given
	}
	return sortedBy(list, func(s *Secret) string { return s.Name }), err
}

// hiddenValues are a copy of a Secret's data. The values are noted as secret.
func (r *Reader) hiddenValues(data map[string]string) map[string]string {
	hidden := make(map[string]string, len(data))
	for k, v := range data {
		hidden[k] = r.hidden(v)
	}
	return hidden
}

func dataOfConfigMap(o runtime.Object) map[string]string {
	c := o.(*corev1.ConfigMap)
	data := c.Data
	if data == nil {
		data = map[string]string{}
	}
	for k, v := range c.BinaryData {
		data[k] = string(v)
	}
	return data
}

func dataOfSecret(o runtime.Object) map[string]string {
	s := o.(*corev1.Secret)
	data := make(map[string]string, len(s.Data))
	for k, v := range s.Data {
		data[k] = string(v)
	}
	return data
}

func viewConfigMap(o runtime.Object, f *faults) (string, any) {
	return o.(*corev1.ConfigMap).Name, f.data(dataOfConfigMap(o))
}

func viewSecret(o runtime.Object, f *faults) (string, any) {
	return o.(*corev1.Secret).Name, f.data(dataOfSecret(o))
}

// viewWholeConfigMap is for a watch by a label selector.
func viewWholeConfigMap(o runtime.Object, f *faults) (string, any) {
	c := o.(*corev1.ConfigMap)
	v := &ConfigMap{c.Name, c.Namespace, c.Labels, dropNoise(c.Annotations), dataOfConfigMap(o)}
	f.configMap(v)
	return c.Name, v
}

// viewWholeSecret is for a watch by a label selector.
func viewWholeSecret(o runtime.Object, f *faults) (string, any) {
	s := o.(*corev1.Secret)
	v := &ConfigMap{s.Name, s.Namespace, s.Labels, dropNoise(s.Annotations), dataOfSecret(o)}
	f.configMap(v)
	return s.Name, (*Secret)(v)
}

func (f *faults) configMap(v *ConfigMap) {
	v.Name = f.name("metadata.name", v.Name, isObjectName)
	v.Namespace = f.name("metadata.namespace", v.Namespace, isDNSLabel)
	v.Labels = f.labels(v.Labels)
	v.Annotations = f.annotations(v.Annotations)
	v.Data = f.data(v.Data)
}

// storedData is a ConfigMap or a Secret in a snapshot. Its values may be any bytes,
// which strings in JSON are not.
type storedData struct {
	Name, Namespace     string
	Labels, Annotations map[string]string
	Data                map[string][]byte
}

func (c *ConfigMap) stored() storedData {
	return storedData{c.Name, c.Namespace, c.Labels, c.Annotations, asBytes(c.Data)}
}

func asBytes(data map[string]string) map[string][]byte {
	all := make(map[string][]byte, len(data))
	for key, value := range data {
		all[key] = []byte(value)
	}
	return all
}

func asStrings(data map[string][]byte) map[string]string {
	all := make(map[string]string, len(data))
	for key, value := range data {
		all[key] = string(value)
	}
	return all
}

func decodeData(content []byte, f *faults) (any, error) {
	var data map[string][]byte
	if err := json.Unmarshal(content, &data); err != nil {
		return nil, err
	}
	return f.data(asStrings(data)), nil
}

func decodeWholeConfigMap(content []byte, f *faults) (any, error) {
	var s storedData
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, err
	}
	v := &ConfigMap{s.Name, s.Namespace, s.Labels, s.Annotations, asStrings(s.Data)}
	f.configMap(v)
	return v, nil
}

func decodeWholeSecret(content []byte, f *faults) (any, error) {
	v, err := decodeWholeConfigMap(content, f)
	if err != nil {
		return nil, err
	}
	return (*Secret)(v.(*ConfigMap)), nil
}
