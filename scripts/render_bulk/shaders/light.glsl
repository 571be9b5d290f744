// How much light of the directions this pixel looks at, and of the hard lamp, arrives.
uniform vec3 axes[3 * COUNT];
uniform vec3 light[COUNT];
uniform vec3 sun_axes[3];
uniform vec3 sun;
uniform sampler2D maps;
uniform sampler2D sun_map;

float open(int k, vec3 p) {
    vec2 q = vec2(dot(axes[3 * k], p), dot(axes[3 * k + 1], p)) / RADIUS * 0.5 + 0.5;
    float depth = 0.5 - dot(axes[3 * k + 2], p) / RADIUS * 0.5;
    if (any(lessThan(q, vec2(0.0))) || any(greaterThanEqual(q, vec2(1.0)))) return 1.0;
    ivec2 texel = ivec2(q * float(TILE)) + TILE * ivec2(k % TILES, k / TILES);
    return step(depth, texelFetch(maps, texel, 0).r);
}

float sun_open(vec3 p) {
    vec2 q = vec2(dot(sun_axes[0], p), dot(sun_axes[1], p)) / RADIUS * 0.5 + 0.5;
    float depth = 0.5 - dot(sun_axes[2], p) / RADIUS * 0.5;
    if (any(lessThan(q, vec2(0.002))) || any(greaterThan(q, vec2(0.998)))) return 1.0;
    vec2 f = q * float(SUN) - 0.5;
    ivec2 t = ivec2(floor(f));
    vec2 w = fract(f);
    vec4 s = vec4(texelFetch(sun_map, t, 0).r, texelFetch(sun_map, t + ivec2(1, 0), 0).r,
                  texelFetch(sun_map, t + ivec2(0, 1), 0).r,
                  texelFetch(sun_map, t + ivec2(1, 1), 0).r);
    vec4 o = step(vec4(depth), s);
    return mix(mix(o.x, o.y, w.x), mix(o.z, o.w, w.x), w.y);
}

int quarter() {
    return (int(gl_FragCoord.x) & 1) + 2 * (int(gl_FragCoord.y) & 1);
}
