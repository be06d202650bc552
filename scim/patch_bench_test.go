package scim

import "testing"

// benchBody is what Entra sends for a person whose attributes are all mapped: 1.2 KB.
const benchBody = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
"externalId":"6ad5df51-4e0b-4e4d-9a9c-0f5a6d6f0b11","userName":"frida.holm@harbour.example","active":true,"displayName":"Frida Holm","title":"Planner","preferredLanguage":"sv-SE",
"name":{"formatted":"Frida Holm","familyName":"Holm","givenName":"Frida"},
"emails":[{"primary":true,"type":"work","value":"frida.holm@harbour.example"},{"primary":false,"type":"other","value":"frida@home.example"}],
"addresses":[{"type":"work","formatted":"Pier 4","streetAddress":"Quay Street 9","locality":"Visby","region":"Gotland","postalCode":"62156","country":"Sweden"}],
"phoneNumbers":[{"type":"work","value":"+46 498 00 00 00"},{"type":"mobile","value":"+46 70 000 00 00"},{"type":"fax","value":"+46 498 00 00 01"}],
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"40113","department":"Logistics","manager":{"value":"9c0f9a1e-8a53-4a0c-b7f0-2d3f5e0d9a77"}},
"meta":{"resourceType":"User"},"roles":[]}`

func BenchmarkNormalize(b *testing.B) {
	body := parseTest(b, benchBody)
	b.SetBytes(int64(len(benchBody)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := testUser.normalize(body, Mode{}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkPatch(b *testing.B, ops string) {
	attrs, _, err := testUser.normalize(parseTest(b, benchBody), Mode{})
	if err != nil {
		b.Fatal(err)
	}
	body := parseTest(b, patchBody(ops))
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parsePatch(body, testUser, Mode{}, DefaultPatchLimits); err != nil {
				b.Fatal(err)
			}
		}
	})
	p, err := parsePatch(body, testUser, Mode{}, DefaultPatchLimits)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("apply", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := p.apply(attrs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPatchActive(b *testing.B) {
	benchmarkPatch(b, `[{"op":"Replace","path":"active","value":"False"}]`)
}

func BenchmarkPatchValuePath(b *testing.B) {
	benchmarkPatch(b, `[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"f@harbour.example"}]`)
}

func BenchmarkPatchEnterprise(b *testing.B) {
	benchmarkPatch(b, `[{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Tugs"}]`)
}

func BenchmarkPatchObject(b *testing.B) {
	benchmarkPatch(b, `[{"op":"replace","value":{"displayName":"F","title":"T","name.givenName":"F","name.familyName":"H","active":false}}]`)
}
